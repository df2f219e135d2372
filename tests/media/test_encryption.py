"""Films that need a key are called encrypted, whatever they are wrapped in; films that need none are not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from demix.media.encryption import encryption
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.probe import probe
from demix.records import Candidate
from demix.stage import Context, Dropped, Item
from demix.stages.probe import ProbeSettings, ProbeStage
from demix.store import Store
from tests.media import barcode
from tests.media.sound_films import ffmpeg

LIMITS = MediaLimits()


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("films")
    mpeg2 = {"codec": "mpeg2video", "options": {"bf": "2", "g": "12"}}
    made = {name: barcode.make(folder / name, [4] * 60, audio_codec="aac").path for name in ("film.mp4", "film.ts")}
    return made | {"film.vob": barcode.make(folder / "film.vob", [4] * 60, audio_codec="mp2", **mpeg2).path}  # type: ignore[arg-type]


def renamed(film: Path, path: Path) -> Path:
    """An mp4 as Apple's shop sells it: its sample entries have other names, its samples mean nothing."""
    data = bytearray(film.read_bytes())
    for match in list(re.finditer(b"stsd", data)):
        place = match.start() + 16
        data[place : place + 4] = {b"avc1": b"drmi", b"mp4a": b"drms"}[bytes(data[place : place + 4])]
    path.write_bytes(data)
    return path


def scrambled(film: Path, path: Path, streams: tuple[int, ...] = (256, 257)) -> Path:
    """A transport stream as it is sent to those who pay."""
    data = bytearray(film.read_bytes())
    for at in range(0, len(data), 188):
        if (data[at + 1] & 31) << 8 | data[at + 2] in streams and data[at + 3] & 0x10:
            payload = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
            data[at + 3] |= 0x80
            data[payload : at + 188] = bytes(byte ^ 0x5A for byte in data[payload : at + 188])
    path.write_bytes(data)
    return path


def protected(film: Path, path: Path) -> Path:
    """A programme stream as it lies on a disc: of every other sector all but the first 128 bytes are scrambled."""
    data = bytearray(film.read_bytes())
    for at in range(0, len(data) - 2048, 4096):
        data[at + 20] |= 0x10
        data[at + 128 : at + 2048] = bytes(byte ^ 0x5A for byte in data[at + 128 : at + 2048])
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["film.mp4", "film.ts", "film.vob"])
def test_what_needs_a_key_is_dropped_as_encrypted(tmp_path: Path, films: dict[str, Path], name: str) -> None:
    make = {"film.mp4": renamed, "film.ts": scrambled, "film.vob": protected}[name]
    path = make(films[name], tmp_path / name)
    assert probe(films[name], LIMITS).video.frames == 60
    stage = ProbeStage(ProbeSettings())
    stage.open(Context(store=Store(str(tmp_path / "work")), fingerprint="x"))
    (outcome,) = stage.run([Item(Candidate(id="film", uri=str(path), kind="web"))])
    scheme = {"film.mp4": "FairPlay", "film.ts": "conditional access", "film.vob": "CSS"}[name]
    assert outcome == Dropped("encrypted", {"scheme": scheme})


def test_common_encryption_is_found_in_an_mp4(tmp_path: Path, films: dict[str, Path]) -> None:
    key, path = "76a6c65c5ea762046bd749a2e632ccbb", tmp_path / "film.mp4"
    ffmpeg("-i", films["film.mp4"], "-c", "copy", "-encryption_scheme", "cenc-aes-ctr", "-encryption_key", key,
           "-encryption_kid", key[::-1], path)  # fmt: skip
    with pytest.raises(MediaError, match="Common Encryption") as caught:
        probe(path, LIMITS)
    assert caught.value.kind == "encrypted"


def test_a_clear_programme_between_scrambled_ones_is_a_film(tmp_path: Path, films: dict[str, Path]) -> None:
    both = tmp_path / "both.ts"
    ffmpeg("-i", films["film.ts"], "-i", films["film.ts"], "-map", "0", "-map", "1", "-c", "copy",
           "-program", "st=0:st=1", "-program", "st=2:st=3", both)  # fmt: skip
    path = scrambled(both, tmp_path / "film.ts", streams=(258, 259))
    found = probe(path, LIMITS)
    assert found.video.frames == 60
    assert found.audio is not None


def test_real_films_need_no_key(shared_media: Path) -> None:
    assert encryption(str(shared_media / "video/grid/bbaf2n.mpg"), "mpeg") == ""
    assert encryption(str(shared_media / "video/nasa_13013.mp4"), "mov,mp4,m4a,3gp,3g2,mj2") == ""
