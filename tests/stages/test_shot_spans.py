"""Films decoded in spans, against the same films decoded at once: encodings, containers, damage, real films."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from demix.media.limits import MediaLimits
from demix.media.probe import probe
from demix.media.scan import ScanSettings
from demix.models.shots.adaptive import AdaptiveShots
from demix.models.shots.measured import NotJoined, SpanMeasured
from demix.models.shots.settings import AdaptiveSettings, GradualSettings, StructureSettings
from demix.records import Probe, Shots, Source
from demix.stage import Context, Item, Kept
from demix.stages import shot_spans
from demix.stages.shot_spans import Film, Measuring, Span
from demix.stages.shots import ShotsSettings, ShotsStage
from demix.store import Store
from tests.media.films import write_film
from tests.models.shots.moving import dissolve, fade, joined, shot

PICTURES, _ = joined(
    [
        shot(1, 61),
        shot(2, 40, -2.0),
        dissolve(shot(3, 70, 0.5), shot(4, 60, 0.3), 24),
        fade(shot(5, 50), shot(6, 45, 0.0), 12),
        shot(8, 45, 3.0),
    ]
)
X264 = {"preset": "veryfast", "g": "40", "bf": "4"}
X265 = "log-level=none:pools=1:keyint=40:bframes=4"
VPX = {"deadline": "realtime", "cpu-used": "8", "b": "2M", "g": "40", "auto-alt-ref": "1"}
ENCODINGS: dict[str, tuple[str, str, dict[str, str], str]] = {
    "x264, open groups": ("mp4", "libx264", X264 | {"x264-params": "open-gop=1:b-pyramid=normal"}, "yuv420p"),
    "MPEG-2 in a transport stream": ("ts", "mpeg2video", {"b": "4M", "bf": "2", "g": "15"}, "yuv420p"),
    "MPEG-4 in AVI": ("avi", "mpeg4", {"b": "4M", "bf": "2", "g": "30"}, "yuv420p"),
    "VP9": ("webm", "libvpx-vp9", VPX, "yuv420p"),
}
MORE = {
    "x264, closed groups": ("mkv", "libx264", X264 | {"x264-params": "open-gop=0"}, "yuv420p"),
    "x264 in a transport stream": ("ts", "libx264", X264 | {"x264-params": "open-gop=1"}, "yuv420p"),
    "x264 in AVI": ("avi", "libx264", X264, "yuv420p"),
    "x264 in FLV": ("flv", "libx264", X264, "yuv420p"),
    "x264, one key frame": ("mp4", "libx264", {"preset": "ultrafast", "g": "999", "sc_threshold": "0"}, "yuv420p"),
    "x265": ("mkv", "libx265", {"preset": "ultrafast", "x265-params": X265}, "yuv420p"),
    "x265, open groups": ("mp4", "libx265", {"preset": "superfast", "x265-params": X265 + ":open-gop=1"}, "yuv420p"),
    "MPEG-2 in a programme stream": ("mpg", "mpeg2video", {"b": "4M", "bf": "2", "g": "15"}, "yuv420p"),
    "MPEG-4": ("mp4", "mpeg4", {"b": "4M", "bf": "2", "g": "30"}, "yuv420p"),
    "VP8": ("webm", "libvpx", VPX, "yuv420p"),
    "ProRes": ("mov", "prores_ks", {}, "yuv422p10le"),
}
SETTINGS = ShotsSettings(gradual=GradualSettings(longest_seconds=1.0))
"""A short overlap, so that a film of a quarter of a minute has several spans."""
SOURCE = "0123456789abcdef"


def detector() -> AdaptiveShots:
    return AdaptiveShots(AdaptiveSettings(), StructureSettings(), SETTINGS.gradual)


def measuring(store: Path, path: str, threads: int) -> Measuring:
    return Measuring(detector, ScanSettings(path=path), MediaLimits(), threads, str(store), "f" * 32)  # type: ignore[arg-type]


def source(film: Path) -> Source:
    return Source(id=SOURCE, uri=str(film), kind="cinematic")


def spans_of(film: Path, told: Probe, count: int, how: Measuring) -> list[Span]:
    times = [None, *shot_spans._cut_times(told.video, count), None]
    return [Span(Film(source(film), told), how, n, begin, end) for n, (begin, end) in enumerate(pairwise(times))]


def assert_divided_is_whole(
    film: Path, store: Path, path: str, counts: Sequence[int] = (2, 4), threads: int = 1
) -> None:
    told = probe(film, MediaLimits())
    how = measuring(store, path, threads)
    model, rate = detector(), 24.0
    (whole,) = (shot_spans._measured(span).measured for span in spans_of(film, told, 1, how))
    for count in counts:
        spans = [shot_spans._measured(span) for span in spans_of(film, told, count, how)]
        found = model.joined([SpanMeasured.from_bytes(span.to_bytes()) for span in spans], rate)
        for name in ("pts", "scores", "alike", "change", "contrast"):
            np.testing.assert_array_equal(getattr(found, name), getattr(whole, name), err_msg=name)
        assert model.decide(found, rate) == model.decide(whole, rate)
    assert len(whole.pts) == told.video.frames


@pytest.mark.parametrize("path", ["exact", "fast"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_film_in_spans_is_the_whole_film(encoding: str, path: str, tmp_path: Path) -> None:
    container, codec, options, pixels = ENCODINGS[encoding]
    film = write_film(tmp_path / f"film.{container}", PICTURES, codec, options, pixels)
    assert_divided_is_whole(film, tmp_path, path, (3,))


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS | MORE)
def test_a_film_in_spans_is_the_whole_film_in_every_encoding(encoding: str, tmp_path: Path) -> None:
    container, codec, options, pixels = (ENCODINGS | MORE)[encoding]
    film = write_film(tmp_path / f"film.{container}", PICTURES, codec, options, pixels)
    for path in ("exact", "fast"):
        assert_divided_is_whole(film, tmp_path, path, (2, 3, 5))
    assert_divided_is_whole(film, tmp_path, "exact", (3,), threads=2)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "fast"])
@pytest.mark.parametrize("name", ["big_buck_bunny_0_30.webm", "gcp_climber.mp4", "flower.mp4", "nasa_13013.mp4"])
def test_a_real_film_in_spans_is_the_whole_film(name: str, path: str, shared_media: Path, tmp_path: Path) -> None:
    assert_divided_is_whole(shared_media / "video" / name, tmp_path, path, (2, 3))


# --- what cannot be divided ------------------------------------------------------------------------------------------


def staged(film: Path, told: Probe, folder: Path, count: int) -> tuple[Shots | None, Shots | None]:
    """What the stage says of a film undivided and of its spans."""
    answers: list[Shots | None] = []
    for divided in (False, True):
        stage = ShotsStage(SETTINGS)
        store = Store(str(folder / str(divided)))
        stage.open(Context(store, "f" * 32))
        how = stage.measuring(store.root, "f" * 32, 1)
        assert how is not None
        if divided:
            for span in shot_spans._divided(Film(source(film), told), count, how, store):
                shot_spans.measure(span)
        (outcome,) = stage.run([Item(source(film), {Probe.name: told})])
        record = outcome.record if isinstance(outcome, Kept) else None
        answers.append(record if isinstance(record, Shots) else None)
    return answers[0], answers[1]


def test_a_film_that_finds_to_itself_slowly_is_taken_undivided(tmp_path: Path) -> None:
    """Without key frames, refreshed a column at a time: who begins in the middle sees the whole picture late."""
    options = {"preset": "veryfast", "g": "40", "x264-params": "intra-refresh=1"}
    film = write_film(tmp_path / "film.mp4", PICTURES, "libx264", options)
    told = probe(film, MediaLimits())
    spans = [shot_spans._measured(span) for span in spans_of(film, told, 2, measuring(tmp_path, "exact", 1))]
    with pytest.raises(NotJoined):
        detector().joined(spans, 24.0)
    whole, divided = staged(film, told, tmp_path, 2)
    assert whole is not None
    assert divided == whole


def _zeroed(data: bytearray, begin: float, end: float) -> None:
    data[int(begin * len(data)) : int(end * len(data))] = bytes(int(end * len(data)) - int(begin * len(data)))


@pytest.mark.parametrize("container", ["mkv", "ts", "avi"])
@pytest.mark.parametrize(
    "damage",
    [(0.48, 0.52), *(pytest.param(spot, marks=pytest.mark.slow) for spot in ((0.2, 0.23), (0.33, 0.34), (0.9, 0.93)))],
)
def test_a_damaged_film_has_the_same_shots_in_spans(
    container: str, damage: tuple[float, float], tmp_path: Path
) -> None:
    codec = {"mkv": "libx264", "ts": "mpeg2video", "avi": "mpeg4"}[container]
    film = write_film(tmp_path / f"film.{container}", PICTURES[::2], codec, {"g": "15"})
    told = probe(film, MediaLimits())
    data = bytearray(film.read_bytes())
    _zeroed(data, *damage)
    film.write_bytes(data)
    told = told.model_copy(update={"sha256": hashlib.sha256(data).hexdigest()})
    whole, divided = staged(film, told, tmp_path, 3)
    assert divided == whole


# --- how films are divided -------------------------------------------------------------------------------------------


def test_films_are_divided_so_that_all_workers_have_work(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", PICTURES, options={"preset": "ultrafast"})
    told = probe(film, MediaLimits())
    seconds = lambda wanted: told.model_copy(  # noqa: E731  (as if it had so much more to decode)
        update={
            "video": told.video.model_copy(update={"frames": round(wanted * told.video.frames / shot_spans.work(told))})
        }
    )

    def counts(works: list[float], workers: int) -> list[int]:
        films = [
            Film(source(film).model_copy(update={"id": f"{n:016x}"}), seconds(work)) for n, work in enumerate(works)
        ]
        how = measuring(tmp_path / f"{works}{workers}", "exact", 1)
        planned = [span.film.source.id for span in shot_spans.planned(lambda: films, workers, how)]
        return [planned.count(one.source.id) for one in films]

    assert counts([20], 1) == [0]  # one worker: nothing is gained
    assert counts([4], 8) == [0]  # too short
    assert counts([20], 2) == [2]
    assert counts([20], 64) == [7]  # no span below three seconds
    assert counts([1000], 2) == [8]
    assert counts([1000], 100) == [100]
    assert counts([100, 100, 100], 2) == [3, 3, 3]
    assert counts([50] * 100, 2) == [0] * 100  # enough films for all
    assert counts([5000, *[50] * 20], 8) == [27, *[0] * 20]


def test_who_goes_on_after_a_break_goes_on_with_the_spans_that_are_there(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", PICTURES, options={"preset": "ultrafast", "g": "40"})
    told = probe(film, MediaLimits())
    store = Store(str(tmp_path / "work"))
    how = measuring(tmp_path / "work", "exact", 1)
    first, *_ = shot_spans._divided(Film(source(film), told), 3, how, store)
    assert shot_spans.measure(first) == (SOURCE, pytest.approx(first.seconds))
    before = store.local(first.key).stat().st_mtime_ns
    again = list(shot_spans._divided(Film(source(film), told), 5, how, store))  # more workers than before
    assert len(again) == 3
    assert sum(shot_spans.measure(span)[1] for span in again) == pytest.approx(told.seconds)
    assert store.local(first.key).stat().st_mtime_ns == before
    assert len(shot_spans.finished(source(film), how, store) or ()) == 3


def test_a_span_that_cannot_be_measured_leaves_nothing(tmp_path: Path) -> None:
    film = write_film(tmp_path / "film.mp4", PICTURES[:100], options={"preset": "ultrafast"})
    told = probe(film, MediaLimits())
    how = measuring(tmp_path / "work", "exact", 1)
    film.unlink()
    for span in shot_spans._divided(Film(source(film), told), 2, how, Store(how.store)):
        assert shot_spans.measure(span) == (SOURCE, 0.0)
    assert shot_spans.finished(source(film), how, Store(how.store)) is None
