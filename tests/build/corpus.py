"""A small corpus of known truth: a film with every kind of transition, a talking head, a silent film, and files as they
lie about in any large collection."""

from __future__ import annotations

from pathlib import Path

from tests.films import Effect, FilmTruth, Music, Shot, Speech, View, make_film

FEATURE = (
    Shot("rocket", 3.2, View(0.5, 0.7, 0.6), View(0.5, 0.6, 0.75), begins="fade", transition_seconds=0.5,
         music=Music(1)),
    Shot("astronaut", 4.6, View(0.44, 0.25, 0.5), View(0.44, 0.26, 0.44), speech=(Speech("astronaut", 2, at=0.6),),
         effects=(Effect("rain", level_db=-36),)),
    Shot("china", 3.8, View(0.4, 0.6, 0.7), View(0.45, 0.4, 0.7), speech=(Speech("narrator", 2, at=0.4, face=None),)),
    Shot("motorcycle", 3.2, View(0.3, 0.55, 0.55), View(0.5, 0.5, 0.6), effects=(Effect("engine", level_db=-22),),
         begins="dissolve", transition_seconds=0.5),
    Shot("cat", 1.0),
    Shot("flower", 2.7, View(0.45, 0.55, 0.6), View(0.45, 0.5, 0.8)),
)  # fmt: skip
"""Kept: rocket, astronaut, motorcycle. Dropped: china (voice-over), cat (too short), flower (nothing but room tone)."""

ADDRESS = (
    Shot("admiral", 4.2, View(0.52, 0.38, 0.9), View(0.52, 0.38, 0.88),
         speech=(Speech("admiral", 3, at=0.5, level_db=-18),)),
)  # fmt: skip

KINDS = {"feature film.mp4": "cinematic", "address.mp4": "talking_head", "silent film.mp4": "cinematic"}


def make_films(folder: Path, stems: Path) -> dict[str, FilmTruth]:
    """Writes the three films, and the feature's mix and stems as WAV files into `stems`; name -> truth."""
    folder.mkdir(parents=True)
    films = [
        make_film(folder / "feature film.mp4", FEATURE, seed=1, keep_stems=True),
        make_film(folder / "address.mp4", ADDRESS, kind="talking_head", rate=25, size=(240, 180), seed=2),
        make_film(folder / "silent film.mp4", (Shot("cat", 2.5),), audio_codec=None, seed=4),
    ]
    stems.mkdir()
    for path in folder.glob("*.wav"):
        path.rename(stems / path.name.removeprefix("feature film."))
    return {film.name: film for film in films}


def make_broken(folder: Path, whole: Path) -> dict[str, str]:
    """Files that are no films, or not whole, made out of a whole one; name -> how each must end."""
    folder.mkdir(parents=True)
    data = whole.read_bytes()
    files = {
        "truncated.mp4": (data[: len(data) // 2], "failed"),
        "empty.mp4": (b"", "dropped not_media"),
        "shooting script.mp4": (b"INT. TOWER - NIGHT\nA lamp is lit.\n", "dropped not_media"),
        "playlist.mp4": (b"#EXTM3U\n#EXTINF:10,\n/etc/passwd\n", "dropped not_media"),
        "-copy of address.mkv": (data, "dropped duplicate"),
        "d\u00e9chir\u00e9.mp4": (data[:200] + bytes(len(data) - 200), "failed"),
    }
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    make_film(folder / "radio play.mp4", ADDRESS, size=(64, 36), seed=5, picture=False)
    return {name: end for name, (_, end) in files.items()} | {"radio play.mp4": "dropped no_video"}


def write_manifest(folder: Path, kinds: dict[str, str]) -> Path:
    """A list of all files below `folder`, those that `kinds` does not name as cinema."""
    path = folder / "sources.csv"
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file != path)
    lines = (f'"{file.relative_to(folder)}",{kinds.get(file.name, "cinematic")}\n' for file in files)
    path.write_text("uri,kind\n" + "".join(lines), encoding="utf-8")
    return path
