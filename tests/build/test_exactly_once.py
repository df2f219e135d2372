"""A build that is killed at any moment and started again ends with the bytes of one that never was.

Killed in the middle of every kind of write (`tests/build/_kills.py`), and at random moments with all its children, in
one process and on Ray.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.build import cheap
from tests.build._kills import ALL, FEW
from tests.build.conftest import Corpus
from tests.build.running import ROOT, child, demix, environment, numbers, rows, tree

SETTINGS = (*cheap.OPTIONS, "--set", "pack.target_bytes=400000")


@pytest.fixture(scope="module")
def films(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two films of which one cannot be read, a talking head, and no film at all."""
    folder = tmp_path_factory.mktemp("films")
    for path in ("good/feature film.mp4", "good/address.mp4", "broken/truncated.mp4", "broken/playlist.mp4"):
        shutil.copy(corpus.folder / path, folder)
    return folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every build of this module writes, one after the other: manifests hold commands with this path."""
    return tmp_path_factory.mktemp("exactly") / "dataset"


@pytest.fixture(scope="module")
def undisturbed(films: Path, dataset: Path) -> tuple[dict[str, str], dict[str, object]]:
    ran = child(*command(films, dataset), module="tests.build._child")
    assert ran.status == 0, ran.err
    whole = tree(dataset), numbers(dataset)
    shutil.rmtree(dataset)
    return whole


def command(films: Path, dataset: Path, runner: str = "sequential") -> list[str]:
    return ["build", str(films), "--output", str(dataset), "--runner", runner, *SETTINGS]


def check(dataset: Path, undisturbed: tuple[dict[str, str], dict[str, object]]) -> None:
    """The dataset is what it should be, holds every clip once, and nothing was left behind."""
    found = tree(dataset)
    assert {name for name in found if found.get(name) != undisturbed[0].get(name)} == set()
    assert found == undisturbed[0]
    assert numbers(dataset) == undisturbed[1]
    kept = [row["clip_id"] for row in rows(dataset, "clips")]
    assert len(kept) == len(set(kept)) > 3
    assert not [path for path in dataset.rglob(".*") if path.name != ".work"], "what killed writers left is removed"
    assert not (dataset / ".work/media").exists()
    assert demix("verify", dataset, "--workers", 1).status == 0


def kill_and_resume(which: str, films: Path, dataset: Path) -> int:
    """Runs the script of kills; how many there were."""
    shutil.rmtree(dataset, ignore_errors=True)
    ran = child(which, *command(films, dataset), module="tests.build._kills")
    assert ran.status == 0, ran.err[-3000:]
    attempts = [json.loads(line) for line in ran.out.splitlines()]
    missed = [attempt for attempt in attempts[:-1] if attempt["status"] != -signal.SIGKILL]
    assert not missed, "every kill must have hit"
    return len(attempts) - 1


def test_killed_between_write_and_rename_once_a_phase(
    films: Path,
    dataset: Path,
    undisturbed: tuple[dict[str, str], dict[str, object]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert kill_and_resume("few", films, dataset) == len(FEW)
    check(dataset, undisturbed)
    assert not list(tmp_path.iterdir()), "the next run removes what a killed one left"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_between_write_and_rename_of_everything_that_is_written(
    films: Path, dataset: Path, undisturbed: tuple[dict[str, str], dict[str, object]]
) -> None:
    assert kill_and_resume("all", films, dataset) == len(ALL) > 40
    check(dataset, undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("runner", "kills", "longest"), [("sequential", 20, 15.0), ("auto", 10, 15.0), ("ray", 10, 45.0)]
)
def test_killed_at_random_moments_with_all_its_children(
    films: Path,
    dataset: Path,
    undisturbed: tuple[dict[str, str], dict[str, object]],
    runner: str,
    kills: int,
    longest: float,
) -> None:
    """Once the build has got to its end between two kills, it starts anew from nothing."""
    chance = random.Random(7)
    shutil.rmtree(dataset, ignore_errors=True)
    done = 0
    while done < kills:
        process = start(films, dataset, runner)
        try:
            status = process.wait(timeout=chance.uniform(1.0, longest))
        except subprocess.TimeoutExpired:
            kill_tree(process)
            done += 1
        else:
            assert status == 0
            check(dataset, undisturbed)
            shutil.rmtree(dataset)
    process = start(films, dataset, runner)
    assert process.wait() == 0
    check(dataset, undisturbed)


def start(films: Path, dataset: Path, runner: str) -> subprocess.Popen[bytes]:
    """The build in a session of its own."""
    arguments = [sys.executable, "-m", "tests.build._child", *command(films, dataset, runner)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(arguments, cwd=ROOT, env=environment(), stdout=quiet, stderr=quiet, start_new_session=True)


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a process and all that came of it: Ray's daemons and workers, ffmpeg, sandboxes."""
    root = psutil.Process(process.pid)
    root.suspend()  # so that it starts nothing while its children are counted
    family = root.children(recursive=True)
    for member in (root, *family):
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()
    psutil.wait_procs(family, timeout=10)
