"""The sample films of `make demo`: kept and dropped clips of every kind, and files that are no films at all."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.films.film import make_film
from tests.films.pictures import View
from tests.films.script import Effect, Music, Shot, Speech
from tests.films.truth import FilmTruth, as_json

SIZE = (640, 360)

CLOSE = View(0.44, 0.25, 0.5), View(0.44, 0.26, 0.44)
"""The astronaut's head and shoulders, slowly pushed in on."""
BUST = View(0.52, 0.38, 0.95), View(0.52, 0.38, 0.88)
TWO = View(0.5, 0.5, 0.97), View(0.5, 0.49, 0.94)

FEATURE = (
    Shot("rocket", 7, View(0.5, 0.7, 0.6), View(0.5, 0.5, 0.95), begins="fade", transition_seconds=1.0,
         music=Music(1), effects=(Effect("wind", level_db=-30),)),
    Shot("astronaut", 6, *CLOSE, speech=(Speech("astronaut", 0, at=0.6),)),
    Shot("admiral", 5.5, *BUST, speech=(Speech("admiral", 1, at=0.8),), effects=(Effect("rain", level_db=-38),)),
    Shot("both", 8, *TWO, speech=(Speech("astronaut", 3, at=0.4, face=0), Speech("admiral", 4, at=4.2, face=1))),
    Shot("coffee", 1.4, music=Music(2)),
    Shot("motorcycle", 6, View(0.3, 0.55, 0.55), View(0.65, 0.5, 0.6), effects=(Effect("engine", level_db=-22),)),
    Shot("china", 7, View(0.4, 0.6, 0.7), View(0.45, 0.4, 0.7), speech=(Speech("narrator", 1, at=1.0, face=None),),
         music=Music(3, level_db=-32), begins="dissolve", transition_seconds=1.0),
    Shot("admiral", 6, View(0.5, 0.45, 0.98), View(0.53, 0.4, 0.8), music=Music(4)),
    Shot("astronaut", 6, View(0.44, 0.28, 0.62), View(0.44, 0.27, 0.56), speech=(Speech("astronaut", 1, at=0.7),),
         effects=(Effect("impacts", level_db=-30),), music=Music(5, level_db=-33)),
    Shot("coffee", 5, View(0.5, 0.5, 0.8), View(0.52, 0.55, 0.6), effects=(Effect("engine", level_db=-20),),
         damage="clipped"),
    Shot("hubble", 7, View(0.4, 0.5, 0.5), View(0.55, 0.5, 0.7), music=Music(6), begins="dissolve",
         transition_seconds=0.75),
    Shot("cat", 5, View(0.5, 0.5, 0.95), View(0.52, 0.48, 0.85)),
    Shot("flower", 6, View(0.45, 0.55, 0.6), View(0.45, 0.5, 0.8), effects=(Effect("birds", level_db=-27),)),
    Shot("china", 5.5, View(0.6, 0.6, 0.6), View(0.4, 0.5, 0.6), speech=(Speech("narrator", 2, at=0.9, face=None),)),
    Shot("both", 6.5, View(0.5, 0.5, 0.92), View(0.5, 0.5, 0.97), music=Music(7, level_db=-30),
         speech=(Speech("admiral", 5, at=1.2, face=1),), begins="fade", transition_seconds=0.8),
    Shot("astronaut", 5, View(0.44, 0.26, 0.55), View(0.44, 0.26, 0.5), speech=(Speech("astronaut", 5, at=0.9),),
         damage="telephone"),
    Shot("motorcycle", 6, View(0.55, 0.5, 0.8), View(0.5, 0.5, 0.9), music=Music(8, level_db=-27),
         effects=(Effect("impacts", level_db=-27),)),
)  # fmt: skip
"""About 100 seconds of cinema."""

ADDRESS = (
    Shot("astronaut", 5, View(0.44, 0.25, 0.5), View(0.44, 0.25, 0.49),
         speech=(Speech("astronaut", 2, at=0.8, level_db=-18),)),
    Shot("admiral", 5, View(0.52, 0.38, 0.9), View(0.52, 0.38, 0.88),
         speech=(Speech("admiral", 3, at=0.8, level_db=-18),)),
)  # fmt: skip
"""Two talking heads."""

CLIP = (
    Shot("flower", 4, View(0.5, 0.5, 0.9), View(0.45, 0.5, 0.7), effects=(Effect("rain", level_db=-26),)),
    Shot("admiral", 5, *BUST, speech=(Speech("admiral", 0, at=0.4),), music=Music(9, level_db=-32)),
    Shot("rocket", 4, View(0.5, 0.5, 0.9), View(0.5, 0.6, 0.5), effects=(Effect("wind", level_db=-24),)),
)
"""A web video."""

SILENT = (Shot("cat", 3, room_db=None), Shot("flower", 3, room_db=None))


def make_demo(folder: Path) -> list[FilmTruth]:
    """Writes films, broken files, `truth.json` and `sources.csv` (uri relative to it, kind) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    films = [
        make_film(folder / "The Light in the Tower.mp4", FEATURE, size=SIZE, ends_in_black=1.0, seed=1),
        make_film(folder / "addresses.mp4", ADDRESS, kind="talking_head", rate=25, size=(480, 360), seed=2),
        make_film(
            folder / "web clip.webm",
            CLIP,
            kind="web",
            rate=30,
            size=SIZE,
            codec="libvpx",
            audio_codec="libopus",
            seed=3,
        ),
        make_film(folder / "silent film.mp4", SILENT, audio_codec=None, seed=4),
    ]
    kinds = {film.name: film.kind for film in films} | _broken(folder)
    with open(folder / "sources.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["uri", "kind"])
        table.writerows(kinds.items())
    (folder / "truth.json").write_text(as_json(films) + "\n", encoding="utf-8")
    return films


def _broken(folder: Path) -> dict[str, str]:
    """Files as they lie about in any large collection; name -> kind."""
    whole = (folder / "addresses.mp4").read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "shooting script.mp4").write_text("INT. TOWER - NIGHT\nA lamp is lit.\n", encoding="utf-8")
    (folder / "addresses (copy).mp4").write_bytes(whole)
    make_film(folder / "radio play.mp4", ADDRESS[:1], size=(64, 36), seed=5, picture=False)
    return {
        "truncated.mp4": "talking_head",
        "empty.mp4": "cinematic",
        "shooting script.mp4": "cinematic",
        "addresses (copy).mp4": "talking_head",
        "radio play.mp4": "cinematic",
    }
