"""`demix index` divides long films and needs no cluster for little work; the clip table is that of undivided films."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from demix import build, here
from demix.stages import shot_spans
from tests.build import cheap
from tests.build.conftest import Corpus
from tests.build.running import demix


@pytest.fixture(scope="module")
def films(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for name in ("good/feature film.mp4", "good/address.mp4", "broken/truncated.mp4", "broken/playlist.mp4"):
        shutil.copy(corpus.folder / name, folder)
    return folder


@pytest.fixture(scope="module")
def undivided(films: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole")
    demix("index", films, "--output", folder, "--runner", "sequential", *cheap.OPTIONS)
    return clips(folder)


def clips(dataset: Path) -> dict[str, Any]:
    table: dict[str, Any] = pq.read_table(dataset / ".work" / "clips.parquet").to_pydict()
    return table


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Films are divided however short they are, on two processors; names every span that is measured."""
    keys: list[str] = []
    measure: Callable[[shot_spans.Span], Any] = shot_spans._measured

    def noted(span: shot_spans.Span) -> Any:
        keys.append(span.key)
        return measure(span)

    monkeypatch.setattr(shot_spans, "_LEAST_SECONDS", 0.05)
    monkeypatch.setattr(shot_spans, "_LEAST_FRAMES", 1)
    monkeypatch.setattr(shot_spans, "_measured", noted)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    return keys


def test_no_cluster_is_started_for_little_work(
    films: Path, undivided: dict[str, Any], measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "make_runner", lambda _: pytest.fail("a cluster is started"))
    ran = demix("index", films, "--output", tmp_path, "--address", "local", *cheap.OPTIONS)
    assert ran.status == 0, ran.err
    assert clips(tmp_path) == undivided
    assert len(measured) >= 3
    assert not (tmp_path / ".work" / "spans").exists()


def test_an_index_that_was_interrupted_keeps_the_spans_that_are_done(
    films: Path, undivided: dict[str, Any], measured: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = shot_spans._measured

    def interrupted(span: shot_spans.Span) -> Any:
        if len(measured) == 2:  # by two workers, of which one is back for more
            raise KeyboardInterrupt
        return noted(span)

    command = ("index", films, "--output", tmp_path, "--address", "local", *cheap.OPTIONS)
    with monkeypatch.context() as patch:
        patch.setattr(shot_spans, "_measured", interrupted)
        assert demix(*command).status == 130
    first = [key for key in measured if (tmp_path / ".work" / key).exists()]
    assert first
    assert demix(*command).status == 0
    assert all(measured.count(key) == 1 for key in first)
    assert clips(tmp_path) == undivided


@pytest.mark.slow
def test_spans_on_a_cluster(
    films: Path, undivided: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shot_spans, "_LEAST_SECONDS", 0.05)
    monkeypatch.setattr(shot_spans, "_LEAST_FRAMES", 1)
    monkeypatch.setattr(here, "_SHORT_SECONDS", -1.0)
    monkeypatch.setattr(build.Build, "_forget_spans", lambda _: None)
    ran = demix("index", films, "--output", tmp_path, "--address", "local", *cheap.OPTIONS)
    assert ran.status == 0, ran.err
    assert clips(tmp_path) == undivided
    assert len(list((tmp_path / ".work" / "spans").rglob("*.npz"))) >= 3
