"""Before any work: places that cannot be written and nodes that do not see them are named, with what to do."""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from demix import preflight
from demix.build import Build
from demix.config import ConfigError
from demix.engine.proof import Proof, digests
from demix.engine.sequential import SequentialRunner
from demix.errors import MachineTrouble
from demix.preflight import check_places, require, some_films, tokens
from demix.recipe import BuildSettings, all_stages, clip_stages, index_stages, load_settings, source_stages
from demix.store import Store, sweep


class Cluster(SequentialRunner):
    """Nodes 10.0.0.1 to 10.0.0.3, of which the last `blind` have other folders, empty, at the paths `unseen`."""

    def __init__(self, *unseen: Path, blind: int = 2):
        self.unseen = unseen
        self.blind = blind

    def require(self, proof: Proof) -> list[tuple[str, str]]:
        return [(f"10.0.0.{number}", self._problem(proof, number)) for number in (1, 2, 3)]

    def _problem(self, proof: Proof, number: int) -> str:
        if number <= 3 - self.blind:
            return proof.problem(f"10.0.0.{number}")
        with ExitStack() as hidden:
            for folder in self.unseen:
                aside = folder.with_name(f"{folder.name} aside")
                folder.rename(aside)
                hidden.callback(aside.rename, folder)
                folder.mkdir()
                hidden.callback(folder.rmdir)
            return proof.problem(f"10.0.0.{number}")


@pytest.mark.parametrize(("unseen", "flag"), [("dataset", "--output"), ("work", "--work")])
def test_nodes_that_do_not_see_a_place_are_named_with_what_to_do(tmp_path: Path, unseen: str, flag: str) -> None:
    dataset, work = tmp_path / "dataset", tmp_path / "work"
    with pytest.raises(ConfigError) as caught, tokens({"--output": Store(dataset), "--work": Store(work)}) as proof:
        require(Cluster(tmp_path / unseen), proof)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / unseen}: node 10.0.0.2 cannot see it.")
    assert f"put {flag} on a shared file system (NFS, Lustre, a mounted bucket) (and 1 more of 3 nodes)" in said
    assert not [*dataset.iterdir(), *work.iterdir()], "the token must not stay behind"


def test_one_node_of_several_may_be_unfit(tmp_path: Path) -> None:
    with tokens({"--output": Store(tmp_path / "dataset"), "--work": Store(tmp_path / "work")}) as proof:
        require(Cluster(tmp_path / "work", blind=1), proof)
        require(Cluster(), proof)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_node_must_see_the_films_and_run_this_code(tmp_path: Path) -> None:
    folders = [tmp_path / f"films {number}" for number in range(40)]
    for folder in folders:
        folder.mkdir()
        for name in ("a.mp4", "b.mp4"):
            (folder / name).touch()
    uris = [str(film) for folder in folders for film in sorted(folder.iterdir())]
    films = some_films([*uris, "s3://bucket/film.mp4", str(tmp_path / "gone.mp4")])
    assert 8 <= len(films) <= 16
    assert len({Path(film).parent for film in films}) == len(films)
    proof = Proof(films=films, code=digests(["demix"]))
    assert proof.problem("n") == ""
    Path(films[3]).unlink()
    assert proof.problem("n").startswith(f"{films[3]}: node n cannot see this film.")
    other = Proof(code=(("demix", "another"),))
    assert other.problem("n").startswith("node n: another demix is installed there than here; bring the same code")


def test_a_proof_that_cannot_be_made_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    proof = Proof(token=".token/x", places=(("--work", str(tmp_path / "file")),))
    assert proof.problem("n")


def test_the_token_of_a_run_that_is_killed_meanwhile_is_removed_by_the_next(tmp_path: Path) -> None:
    with tokens({"--output": Store(tmp_path / "dataset")}):
        shutil.copytree(tmp_path / "dataset", tmp_path / "left")
        sweep(tmp_path / "dataset")
        assert [*(tmp_path / "dataset/.token").iterdir()], "it stays as long as workers may ask for it"
    with tokens({"--output": Store(tmp_path / "left")}):
        assert len([*(tmp_path / "left/.token").iterdir()]) == 1
    assert not [*(tmp_path / "left").iterdir()]


def test_a_build_asks_its_nodes_before_it_gives_them_work(tmp_path: Path) -> None:
    dataset = tmp_path / "dataset"
    build = Build(BuildSettings(), dataset, runner=lambda: Cluster(dataset))
    with pytest.raises(ConfigError, match=r"node 10\.0\.0\.2 cannot see it"):
        _ = build.runner
    build.close()
    assert not (dataset / ".token").exists()


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
