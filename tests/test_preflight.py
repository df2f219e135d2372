"""Before any work: places that cannot be written and nodes that do not see them are named, with what to do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from demix import preflight
from demix.build import Build
from demix.config import ConfigError
from demix.engine.sequential import SequentialRunner
from demix.errors import MachineTrouble
from demix.preflight import check_nodes, check_places
from demix.recipe import BuildSettings, all_stages, clip_stages, index_stages, load_settings, source_stages
from demix.store import Store, sweep


class Cluster(SequentialRunner):
    """Two nodes: one sees what this machine sees, the other has another folder, empty, at the path `unseen`."""

    def __init__(self, unseen: Path | None):
        self.unseen = unseen

    def on_every_node(self, function: Callable[[Any], Any], argument: Any) -> list[tuple[str, Any]]:
        here = [("10.0.0.1", function(argument))]
        if self.unseen is None:
            return [*here, ("10.0.0.2", function(argument))]
        aside = self.unseen.with_name("aside")
        self.unseen.rename(aside)
        self.unseen.mkdir()
        try:
            return [*here, ("10.0.0.2", function(argument))]
        finally:
            self.unseen.rmdir()
            aside.rename(self.unseen)


@pytest.mark.parametrize(("unseen", "flag"), [("dataset", "--output"), ("work", "--work")])
def test_a_node_that_does_not_see_a_place_is_named_with_what_to_do(tmp_path: Path, unseen: str, flag: str) -> None:
    dataset, work = tmp_path / "dataset", tmp_path / "work"
    with pytest.raises(ConfigError) as caught:
        check_nodes(Cluster(tmp_path / unseen), {"--output": Store(dataset), "--work": Store(work)})
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / unseen}: node 10.0.0.2 cannot see it.")
    assert f"put {flag} on a shared file system (NFS, Lustre, a mounted bucket)" in said
    assert not [*dataset.iterdir(), *work.iterdir()], "the token must not stay behind"


def test_nodes_that_see_everything_are_fine(tmp_path: Path) -> None:
    check_nodes(Cluster(None), {"--output": Store(tmp_path / "dataset"), "--work": Store(tmp_path / "work")})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_token_of_a_run_that_is_killed_meanwhile_is_swept_up(tmp_path: Path) -> None:
    class Killed(SequentialRunner):
        def on_every_node(self, function: Callable[[Any], Any], argument: Any) -> list[tuple[str, Any]]:
            shutil.copytree(tmp_path / "dataset", tmp_path / "left")
            return []

    check_nodes(Killed(), {"--output": Store(tmp_path / "dataset")})
    assert len([*(tmp_path / "left").iterdir()]) == 1
    sweep(tmp_path / "left")
    assert not [*(tmp_path / "left").iterdir()]


def test_a_build_asks_its_nodes_before_it_gives_them_work(tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    build = Build(BuildSettings(), dataset, runner=lambda: Cluster(dataset))
    with pytest.raises(ConfigError, match=r"node 10\.0\.0\.2 cannot see it"):
        _ = build.runner


@pytest.mark.parametrize("given", ["open", "paper"])
def test_index_asks_for_nothing_but_what_index_needs(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No weights, keys or packages of models over clips; `build` and `annotate` ask for them before they begin."""
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setattr("demix.models.shots.transnetv2.TransNetShots.weights", lambda settings: ())
    build = Build(load_settings(given), tmp_path / "data", runner=SequentialRunner)
    with build.working([*source_stages(build.settings), *index_stages(build.settings)]):
        assert build.runner
    for stages in (all_stages, clip_stages):
        with build.working(stages(build.settings)), pytest.raises(ConfigError, match="the weights audiobox"):
            _ = build.runner


def test_a_phase_asks_for_what_was_not_asked_for_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the runner runs already."""
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "none"))
    build = Build(load_settings("open"), tmp_path / "data", runner=SequentialRunner)
    (tmp_path / "film.mp4").write_bytes(b"no film")
    build.name_sources([str(tmp_path / "film.mp4")], None)
    with build.working():
        assert build.runner
        with pytest.raises(ConfigError, match="the weights audiobox"):
            build._runner_for(build.clip_phase(), build.clip_phase().survey())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file in the way: permissions would not stop root."""
    (tmp_path / "dataset").write_text("")
    with pytest.raises(ConfigError, match=r"dataset: cannot be written \(.*\); choose another --output or --work"):
        check_places(tmp_path / "dataset", Store(tmp_path / "work"))


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        total: int
        used: int
        free: int

    monkeypatch.setattr(preflight.shutil, "disk_usage", lambda path: Usage(1 << 40, 1 << 40, 1 << 20))
    with pytest.raises(MachineTrouble, match="less than 1 GB is free on this disk; make room or choose another place"):
        check_places(tmp_path / "dataset", Store(tmp_path / "work"))


def test_what_may_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    check_places(tmp_path / "dataset", Store(tmp_path / "work"))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert preflight.free_gigabytes(tmp_path / "absent" / "folder") == pytest.approx(
        shutil.disk_usage(os.fspath(tmp_path)).free / 1e9, rel=0.1
    )
