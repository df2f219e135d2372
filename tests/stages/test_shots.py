"""Shots from boundaries (arithmetic, by properties), and the stage on generated and on real films."""

from __future__ import annotations

import hashlib
import json
import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.errors import MachineTrouble
from demix.media.limits import MediaLimits
from demix.media.probe import probe
from demix.models.shots import Boundaries
from demix.records import Probe, Shots, Source
from demix.sources.fetch import SourceChanged
from demix.stage import Context, Dropped, Failed, Item, Kept, Outcome
from demix.stages.shots import ShotsSettings, ShotsStage, clips_of, one_after_another, shots_between
from demix.store import Store
from tests.media.films import write_film
from tests.models.shots.moving import dissolve, fade, joined, shot

TICK = Fraction(1, 1000)


@st.composite
def boundaries(draw: st.DrawFn) -> Boundaries:
    steps = draw(st.lists(st.one_of(st.integers(1, 60), st.integers(1, 4000)), min_size=1, max_size=120))
    start = draw(st.integers(-5000, 5000))
    pts = [start]
    for step in steps:
        pts.append(pts[-1] + step)
    marks = draw(st.lists(st.integers(0, len(pts) - 1), unique=True, max_size=12).map(sorted))
    cuts, graduals, used = [], [], -1
    for first, second in pairwise([*marks, len(pts)]):
        if first <= used:
            continue
        if draw(st.booleans()):
            last = draw(st.integers(first, second - 1))
            graduals.append((first, last))
            used = last
        elif first > 0:
            cuts.append(first)
    return Boundaries(frames=len(pts), pts=tuple(pts), cuts=tuple(cuts), graduals=tuple(graduals))


@given(boundaries(), st.integers(0, 3), st.floats(0.2, 30.0), st.integers(1, 100))
def test_shots_are_ordered_disjoint_short_enough_and_hold_no_transition(
    found: Boundaries, trim: int, longest: float, tail: int
) -> None:
    end = found.pts[-1] + tail
    shots = shots_between(found, end, TICK, ShotsSettings(trim_frames=trim, max_seconds=longest))
    for one in shots:
        assert found.pts[0] <= one.start_pts < one.end_pts <= end
        assert (one.end_pts - one.start_pts) * TICK <= Fraction(longest)
        shown = [index for index, pts in enumerate(found.pts) if one.start_pts <= pts < one.end_pts]
        assert not any(shown[0] < cut <= shown[-1] for cut in found.cuts if shown)
        assert not any(first <= index <= last for index in shown for first, last in found.graduals)
        for cut in found.cuts:  # the frames next to a cut are trimmed
            assert not set(shown) & set(range(cut - trim, cut + trim))
    for before, after in pairwise(shots):
        assert before.end_pts <= after.start_pts
        assert (before.ends == "split") == (after.begins == "split")
        assert before.ends != "split" or before.end_pts == after.start_pts


@given(boundaries())
def test_without_trimming_and_splitting_every_frame_outside_of_graduals_is_in_one_shot(found: Boundaries) -> None:
    end = found.pts[-1] + 1
    shots = shots_between(found, end, TICK, ShotsSettings(trim_frames=0, max_seconds=1e6))
    for index, pts in enumerate(found.pts):
        holding = [one for one in shots if one.start_pts <= pts < one.end_pts]
        mixed = any(first <= index <= last for first, last in found.graduals)
        assert len(holding) == (0 if mixed else 1)


def test_a_long_shot_is_split_into_equal_parts_on_frames() -> None:
    found = Boundaries(frames=1201, pts=tuple(range(0, 1201 * 40, 40)), cuts=(), graduals=())
    shots = shots_between(found, 1201 * 40, TICK, ShotsSettings(max_seconds=20))
    assert [(one.start_pts, one.end_pts) for one in shots] == [(0, 16000), (16000, 32000), (32000, 48040)]
    assert [one.begins for one in shots] == ["start", "split", "split"]
    assert [one.ends for one in shots] == ["split", "split", "end"]
    assert max(one.end_pts - one.start_pts for one in shots) <= 20000


def test_a_film_that_stops_decoding_ends_with_its_last_frame() -> None:
    found = Boundaries(frames=50, pts=tuple(range(0, 2000, 40)), cuts=(), graduals=())
    (one,) = shots_between(found, 60_000, TICK, ShotsSettings(max_seconds=1000))
    assert (one.start_pts, one.end_pts) == (0, 2000)


# --- the stage -------------------------------------------------------------------------------------------------------


def run(
    path: Path,
    tmp_path: Path,
    settings: ShotsSettings = ShotsSettings(),  # noqa: B008  (frozen)
) -> tuple[Source, Probe, Outcome]:
    source = Source(id="0123456789abcdef", uri=str(path), kind="cinematic")
    facts = probe(path, MediaLimits())
    stage = ShotsStage(settings)
    stage.open(Context(store=Store(str(tmp_path / "store")), fingerprint="0" * 32))
    (outcome,) = stage.run([Item(source, {"probe": facts})])
    stage.close()
    return source, facts, outcome


def shots_of(path: Path, tmp_path: Path) -> tuple[Source, Probe, Shots]:
    source, facts, outcome = run(path, tmp_path)
    assert isinstance(outcome, Kept)
    assert isinstance(outcome.record, Shots)
    return source, facts, outcome.record


def test_the_stage_knows_its_model_before_it_is_opened() -> None:
    assert ShotsStage(ShotsSettings()).revision().startswith("adaptive@")


def test_cuts_fades_and_dissolves_of_a_film(tmp_path: Path) -> None:
    """Every kind once; no clip holds a frame of a transition, or of two shots."""
    first = dissolve(shot(1, 80, 0.5), shot(2, 90, 0.5), 16)  # 64..79
    pictures, (cut,) = joined([first, fade(shot(3, 70), shot(4, 80), 12)])  # cut at 154, fade 212..240
    path = write_film(tmp_path / "film.mp4", pictures)
    source, facts, found = shots_of(path, tmp_path)
    assert found.cuts == (cut,)
    assert len(found.graduals) == 2
    clips = clips_of(source, facts, found)
    allowed = [(0, 64), (80, 153), (155, 212), (241, len(pictures))]
    assert len(clips) == 4
    for clip, (begin, end) in zip(clips, allowed, strict=True):
        assert begin <= round(clip.start * 24) < round(clip.end * 24) <= end
        assert (end - begin) - round(clip.seconds * 24) < 20
    assert [clip.ordinal for clip in clips] == [0, 1, 2, 3]
    assert len({clip.id for clip in clips}) == 4


def test_a_source_of_more_clips_than_any_film_has_is_dropped(tmp_path: Path) -> None:
    """Three seconds of two pictures, in parts of a quarter of a second: with the number that there would be."""
    pictures, _ = joined([shot(1, 36), shot(2, 36)])
    path = write_film(tmp_path / "film.mp4", pictures)
    for most, kept in ((12, True), (11, False)):
        _, _, outcome = run(path, tmp_path, ShotsSettings(max_seconds=0.25, max_clips=most))
        assert isinstance(outcome, Kept) == kept
    assert outcome == Dropped("too_many_shots", {"shots": 12, "limit": 11})


@pytest.mark.parametrize("name", ["black", "one fade"])
def test_a_film_without_a_shot_has_a_reason(tmp_path: Path, name: str) -> None:
    pictures = [np.zeros((90, 160, 3), np.uint8)] * 48
    if name == "one fade":
        pictures = [np.round(picture * (k / 24)).astype(np.uint8) for k, picture in enumerate(shot(1, 24, 0.2))]
    _, _, outcome = run(write_film(tmp_path / "film.mp4", pictures), tmp_path)
    assert isinstance(outcome, Dropped)
    assert (outcome.reason, outcome.evidence["frames"]) == ("no_shot", len(pictures))


def test_twice_the_same(tmp_path: Path) -> None:
    pictures, _ = joined([shot(1, 40), dissolve(shot(2, 60), shot(3, 60), 20)])
    path = write_film(tmp_path / "film.mp4", pictures)
    assert shots_of(path, tmp_path) == shots_of(path, tmp_path)


def test_a_source_that_vanished_raises_for_the_engine_to_note(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", shot(1, 30))
    facts = probe(path, MediaLimits())
    path.unlink()
    stage = ShotsStage(ShotsSettings())
    stage.open(Context(store=Store(str(tmp_path / "store")), fingerprint="0" * 32))
    item = Item(Source(id="0" * 16, uri=str(path), kind="web"), {"probe": facts})
    with pytest.raises(MachineTrouble, match="is gone with all that lay beside it"):
        stage.run([item])
    (tmp_path / "another.mp4").touch()
    with pytest.raises(FileNotFoundError):
        stage.run([item])


def test_a_source_that_was_replaced_is_not_taken_for_the_one_that_was_probed(tmp_path: Path) -> None:
    """Also where size and time are those of the old one."""
    path = write_film(tmp_path / "film.mp4", shot(1, 30))
    facts, status = probe(path, MediaLimits()), path.stat()
    stage = ShotsStage(ShotsSettings())
    stage.open(Context(store=Store(str(tmp_path / "store")), fingerprint="0" * 32))
    item = Item(Source(id="0" * 16, uri=str(path), kind="web"), {"probe": facts})
    assert isinstance(stage.run([item])[0], Kept)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(SourceChanged, match="was replaced since it was probed"):
        stage.run([item])
    content[-1] ^= 1
    path.write_bytes(content)
    assert isinstance(stage.run([item])[0], Kept), "the old one is back: another time, the same content"


def test_a_source_of_which_nothing_decodes_fails_with_the_decoders_words(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mkv", shot(1, 30))
    facts = probe(path, MediaLimits())
    content = bytearray(path.read_bytes())
    content[600:-200] = b"\x00" * (len(content) - 800)
    path.write_bytes(content)
    facts = facts.model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    stage = ShotsStage(ShotsSettings())
    stage.open(Context(store=Store(str(tmp_path / "store")), fingerprint="0" * 32))
    (outcome,) = stage.run([Item(Source(id="0" * 16, uri=str(path), kind="web"), {"probe": facts})])
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith("MediaError.")


@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        ("video/nasa_13013.mp4", (240,)),
        ("video/big_buck_bunny_0_30.webm", (283, 376, 551)),
        ("odd/small_bunny_1080p60_5.1.mp4", (21,)),
        ("video/friday.mp4", ()),
        ("video/flower.mp4", ()),
        ("video/latentsync_demo1.mp4", ()),
        ("video/gcp_climber.mp4", ()),
        ("video/intel_car-detection.mp4", ()),
    ],
)
def test_hard_cuts_of_real_films_are_exact(
    name: str, cuts: tuple[int, ...], shared_media: Path, tmp_path: Path
) -> None:
    _, _, found = shots_of(shared_media / name, tmp_path)
    assert found.cuts == cuts


def test_gradual_transitions_of_real_films(shared_media: Path, tmp_path: Path) -> None:
    """A dissolve and a fade-in are found; a title that dissolves in and out inside a shot is not taken for one."""
    truth = json.loads((shared_media / "gt" / "cuts.json").read_text())
    first, last = truth["video/nasa_13013.mp4"]["stream_index_3"]["dissolve_frames_about"]
    ((begin, end),) = shots_of(shared_media / "video/nasa_13013.mp4", tmp_path)[2].graduals
    assert abs(begin - first) <= 4
    assert abs(end - last) <= 4
    ((begin, end),) = shots_of(shared_media / "video/big_buck_bunny_0_30.webm", tmp_path)[2].graduals
    assert begin == 0
    assert 36 <= end <= 60  # "0 to 2 s" at 24 frames/s


def test_parts_of_a_film_meet_in_a_cut() -> None:
    first = Boundaries(frames=3, pts=(0, 1, 2), cuts=(1,), graduals=())
    second = Boundaries(frames=4, pts=(3, 4, 5, 6), cuts=(2,), graduals=((0, 1),))
    assert one_after_another([first, second]) == Boundaries(
        frames=7, pts=(0, 1, 2, 3, 4, 5, 6), cuts=(1, 3, 5), graduals=((3, 4),)
    )
