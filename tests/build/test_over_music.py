"""Guards that `lite` keeps what a dataset of demixed sound is for: people who speak over music.

A clip over music used to be dropped as `demix_disagreement`, and every kept clip had a single audible track."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demix.media.audio import resample, rms_db
from demix.media.command import ffmpeg_binary
from demix.processes import run
from tests.build.running import SEQUENTIAL, demix, rows

RATE = 44100
FILMS = ("friday.mp4", "latentsync_demo1.mp4", "grid/brbk7n.mpg")
LEVELS = (-10, -5, 0)
"""Of the music against the film's own sound, dB."""


def over_music(film: Path, music: np.ndarray, level_db: float, folder: Path) -> Path:
    """The film with music beneath its sound; the pictures are untouched."""
    wav, target = folder / "mixed.wav", folder / f"{film.stem}{level_db:+d}.mkv"
    run([ffmpeg_binary(), "-y", "-v", "error", "-i", str(film), "-ac", "1", "-ar", str(RATE), str(wav)], check=True)
    sound, _ = soundfile.read(wav, dtype="float32")
    beneath = music[: len(sound)] * 10 ** ((rms_db(sound) + level_db - rms_db(music[: len(sound)])) / 20)
    mixed = sound + beneath
    soundfile.write(wav, mixed / max(1.0, np.abs(mixed).max()), RATE)
    streams = ["-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "flac"]
    run([ffmpeg_binary(), "-y", "-v", "error", "-i", str(film), "-i", str(wav), *streams, str(target)], check=True)
    wav.unlink()
    return target


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_people_who_speak_over_music_are_kept_with_two_audible_tracks(shared_media: Path, tmp_path: Path) -> None:
    piece = next((shared_media / "audio/stems/music").glob("*Vibe_Ace.ogg"))
    music, rate = soundfile.read(piece, dtype="float32", always_2d=True)
    music = resample(np.ascontiguousarray(music.mean(axis=1)), rate, RATE)[10 * RATE :]
    films = tmp_path / "films"
    films.mkdir()
    named = [over_music(shared_media / "video" / film, music, level, films) for film in FILMS for level in LEVELS]
    data = tmp_path / "data"
    ran = demix("build", films, "--output", data, *SEQUENTIAL)
    assert ran.status == 0, ran.err
    kept = {Path(row["uri"]).name: row for row in rows(data, "clips")}
    assert set(kept) == {film.name for film in named}, ran.out
    tracks = {name: 3 - len(json.loads(row["demix_check"])["silent"]) for name, row in kept.items()}
    assert min(tracks.values()) >= 2, tracks
    assert f"{len(named)} of {len(named)} kept clips have two or more audible tracks" in ran.out
