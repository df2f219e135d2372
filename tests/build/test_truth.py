"""The whole path from a film to the dataset, held against what is known of the film."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import soundfile

from demix.records import Demixing, Diarization, Shots
from tests.build.conftest import Built
from tests.build.running import rows
from tests.films import FilmTruth, ShotTruth

FEATURE = "feature film.mp4"
MARGIN_DB = 6.0
"""By which the speech track must be better than the mix (measured: 9). Half of the generated mixtures in
benchmarks/results/demixing.md gain 7.2 dB."""


def clip_of(built: Built, shot: ShotTruth, film: str = FEATURE) -> dict[str, Any]:
    """The row (clips or rejects) of the one clip whose middle lies in a shot."""
    listed = [row for table in ("clips", "rejects") for row in rows(built.dataset, table) if row["seconds"]]
    mine = [row for row in listed if row["uri"].endswith(film)]
    middles = [(row["start_seconds"] + row["end_seconds"]) / 2 for row in mine]
    [found] = [row for row, at in zip(mine, middles, strict=True) if shot.start_seconds <= at < shot.end_seconds]
    return found


def record(row: dict[str, Any], kind: type) -> Any:
    body = row[kind.name] if kind.name in row else json.dumps(json.loads(row["records"])[kind.name])
    return kind.model_validate_json(body)


def media(built: Built, key: str) -> np.ndarray:
    """(channels, samples) of a track in the work store."""
    return soundfile.read(built.work / key, dtype="float64", always_2d=True)[0].T


def truth(built: Built, film: str = FEATURE) -> FilmTruth:
    return built.corpus.films[film]


def test_every_film_ends_well(built: Built) -> None:
    assert built.ran.status == 0, built.ran.err


def test_hard_cuts_are_found_on_their_frames_and_nothing_else_is_one(built: Built) -> None:
    for name, film in built.corpus.films.items():
        [row] = [row for row in rows(built.dataset, "sources") if row["uri"].endswith(name)]
        shots = Shots.model_validate_json(row["shots"])
        assert (shots.cuts, shots.frames) == (film.cuts, film.frames), name


def test_no_clip_holds_two_shots(built: Built) -> None:
    film = truth(built)
    clips = [row for table in ("clips", "rejects") for row in rows(built.dataset, table) if row["seconds"]]
    mine = [row for row in clips if row["uri"].endswith(FEATURE)]
    assert len(mine) == len(film.shots)
    for row in mine:
        frames = range(round(row["start_seconds"] * 24), round(row["end_seconds"] * 24))
        # The first frame of a dissolve shows a thirteenth of the next picture: nobody sees that.
        shown = {shot for frame in frames for shot, share in pictures(film, frame).items() if share > 0.1}
        assert len(shown) == 1, row["start_seconds"]


def pictures(film: FilmTruth, frame: int) -> dict[int, float]:
    """Shot -> how much of a frame is its picture. A fade is with black, not with another shot."""
    [index] = [index for index, shot in enumerate(film.shots) if shot.start_frame <= frame < shot.end_frame]
    shot = film.shots[index]
    into = frame - shot.start_frame
    if shot.begins != "dissolve" or into >= shot.transition_frames:
        return {index: 1.0}
    share = (into + 1) / (shot.transition_frames + 1)
    return {index: share, index - 1: 1 - share}


def test_each_shot_goes_where_the_papers_rules_put_it(built: Built) -> None:
    kept = {row["clip_id"]: row for row in rows(built.dataset, "clips")}
    for name, film in built.corpus.films.items():
        for shot in film.shots:
            row = clip_of(built, shot, name)
            if shot.drop:
                assert row.get("reason") == shot.drop, (name, shot.picture)
            else:
                assert row["clip_id"] in kept, (name, shot.picture)
                assert tuple(row["signature"].split("+")) == shot.subsets, (name, shot.picture)


def test_speech_is_heard_when_it_is_spoken(built: Built) -> None:
    spoken = [(name, shot) for name, film in built.corpus.films.items() for shot in film.shots if shot.speech]
    assert len(spoken) == 3
    for name, shot in spoken:
        row = clip_of(built, shot, name)
        turns = record(row, Diarization).turns
        [sentence] = shot.speech
        said = sentence.start_seconds - row["start_seconds"], sentence.end_seconds - row["start_seconds"]
        assert turns, (name, shot.picture)
        assert turns[0].start_seconds == pytest.approx(said[0], abs=0.2), (name, shot.picture)
        assert turns[-1].end_seconds == pytest.approx(said[1], abs=0.2), (name, shot.picture)
        assert record(row, Diarization).speakers == 1


def test_silent_tracks_are_found(built: Built) -> None:
    """Of the clips that are not dropped for their speech: 14 dB below the narrator's voice some of it is in effects."""
    for shot in truth(built).shots:
        if shot.drop in ("", "no_subset"):
            row = clip_of(built, shot)
            levels = record(row, Demixing).levels_db
            audible = {track for track in ("speech", "effects", "music") if levels[track] >= -45}
            assert audible == set(shot.audible), shot.picture


def test_the_speech_track_is_nearer_to_the_speech_than_the_mix_is(built: Built) -> None:
    [shot] = [shot for shot in truth(built).shots if shot.picture == "astronaut"]
    row = clip_of(built, shot)
    stems = record(row, Demixing)
    found = media(built, stems.speech.key)
    first = round(Fraction(row["start_seconds"]).limit_denominator(48) * 48_000)
    span = slice(first, first + found.shape[1])
    true, mix = (
        soundfile.read(built.corpus.stems / f"{track}.wav", dtype="float64")[0].T[:, span]
        for track in ("speech", "mix")
    )
    assert si_sdr(found, true) > si_sdr(mix, true) + MARGIN_DB


def test_stems_have_the_mixs_length_and_add_up_to_it_with_the_residual(built: Built) -> None:
    for row in rows(built.dataset, "clips"):
        demixed, clip = record(row, Demixing), json.loads(row["clip_media"])
        mix = media(built, clip["mix"]["key"])
        stems = [media(built, getattr(demixed, track).key) for track in ("speech", "effects", "music")]
        assert {stem.shape for stem in stems} == {mix.shape} == {(clip["channels"], clip["samples"])}
        residual = mix - sum(stems) / 10 ** (demixed.gain_db / 20)
        level = 20 * np.log10(max(np.sqrt(np.mean(residual**2)), 1e-6))
        # Each of the four files is rounded to its own grid, which is all that there may be besides.
        assert level <= max(demixed.residual_db, -80.0) + 1.0, row["clip_id"]


def test_video_and_sound_of_a_clip_are_equally_long(built: Built) -> None:
    for row in rows(built.dataset, "clips"):
        clip = json.loads(row["clip_media"])
        frame = 1 / Fraction(clip["fps"])
        assert abs(clip["frames"] * frame - Fraction(clip["samples"], clip["sample_rate"])) <= frame
        assert abs(clip["frames"] * frame - Fraction(row["seconds"])) <= frame


def si_sdr(found: np.ndarray, true: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019), over all channels together."""
    scale = np.sum(found * true) / np.sum(true**2)
    return float(10 * np.log10(np.sum((scale * true) ** 2) / np.sum((scale * true - found) ** 2)))
