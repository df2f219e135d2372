"""How the work is distributed changes nothing in the dataset, and one clip that kills its workers costs only itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.build import cheap
from tests.build.conftest import Corpus
from tests.build.running import ROOT, Ran, child, demix, numbers, rows, shards, tree

SETTINGS = (*cheap.OPTIONS, "--set", "engine.batch_rows=2")


@pytest.fixture(scope="module")
def films(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for name in ("feature film.mp4", "address.mp4"):
        shutil.copy(corpus.good / name, folder)
    return folder


def build(films: Path, dataset: Path, runner: str, *settings: str) -> Ran:
    options = [part for setting in settings for part in ("--set", setting)]
    command = ("build", films, "--output", dataset, "--runner", runner, *SETTINGS, *options)
    return child(*command, module="tests.build._child")


@pytest.fixture(scope="module")
def plain(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by one process, one stage after the other."""
    dataset = tmp_path_factory.mktemp("plain") / "dataset"
    ran = build(films, dataset, "sequential")
    assert ran.status == 0, ran.err
    return dataset


@pytest.mark.parametrize("runner", ["ray", "auto"])
def test_every_runner_makes_the_same_dataset_as_one_process(
    films: Path, plain: Path, tmp_path: Path, runner: str
) -> None:
    ran = build(films, tmp_path / "data", runner)
    assert ran.status == 0, ran.err
    assert tree(tmp_path / "data") == tree(plain)
    assert numbers(tmp_path / "data") == numbers(plain)


def test_a_remote_work_store_gives_the_same_shards(films: Path, plain: Path, tmp_path: Path) -> None:
    """An object store has no rename and keeps no listing up to date; what is fetched from it is kept by version."""
    command = ("build", films, "--output", tmp_path / "data", "--work", f"memory://{tmp_path.name}")
    first = demix(*command, "--runner", "sequential", *SETTINGS)
    assert first.status == 0, first.err
    assert shards(tmp_path / "data") == shards(plain)
    again = demix(*command, "--runner", "sequential", *SETTINGS)
    assert "nothing was left to do" in again.out
    changed = demix(*command, "--runner", "sequential", *SETTINGS, "--set", "caption.max_frames=8")
    assert changed.status == 0, changed.err
    assert demix("verify", tmp_path / "data", "--workers", 1).status == 0


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(films: Path, plain: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        dataset = tmp_path / str(workers)
        ran = build(films, dataset, "ray", f"engine.pools.default.max_workers={workers}")
        assert ran.status == 0, ran.err
        assert tree(dataset) == tree(plain)


@pytest.mark.slow
@pytest.mark.parametrize("deed", ["raise", "die"])
def test_a_clip_that_breaks_its_workers_costs_only_itself(
    films: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    kept = [row["clip_id"] for row in rows(plain, "clips")]
    victim = kept[2]
    monkeypatch.setenv("DEMIX_TEST_VICTIM", f"{victim}:{deed}")
    ran = build(films, tmp_path / "data", "ray", "limits.max_failed_clips=0.5")
    assert ran.status == 0, ran.err
    [failed] = rows(tmp_path / "data", "quarantine")
    assert (failed["id"], failed["stage"]) == (victim, "caption")
    assert failed["error"] == {"raise": "ValueError", "die": "WorkerDied"}[deed]
    assert [row["clip_id"] for row in rows(tmp_path / "data", "clips")] == [clip for clip in kept if clip != victim]
    assert str(ROOT) not in failed["message"]
