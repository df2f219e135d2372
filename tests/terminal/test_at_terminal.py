"""At a real (pseudo) terminal: every command that works ends, none of its processes reads the terminal, Ctrl-C and
SIGTERM end it within seconds with a status of their own, and nothing is left."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from demix.engine import log
from tests.build.running import SEQUENTIAL, demix
from tests.films import Shot, make_film
from tests.films.demo import make_demo
from tests.mtv_train.datasets import TinyClip, write_tars
from tests.mtv_train.sample.making import write_model
from tests.mtv_train.sample.test_jobs import job, write_jobs
from tests.terminal.pseudo import CTRL_C, Ended, Session

Start = Callable[..., Session]
DEMIX = (sys.executable, "-m", "demix.cli")
MTV = (sys.executable, "-m", "mtv_train")
SECONDS = 15.0
"""In which an interrupted command is gone, also on a machine with much else to do."""


def temporary() -> list[str]:
    """What this test's commands have left in the temporary folder."""
    folder = Path(f"/tmp/demix-test-{os.getpid()}")
    sessions = [path.name for path in (folder / "ray").glob("session_[0-9]*")]
    return sessions + [path.name for path in folder.iterdir() if path.name not in ("ray", "numba")]


def check(ended: Ended, status: int = 0) -> None:
    assert ended.status == status, ended.text[-3000:]
    assert ended.readers == set(), "they have the terminal as standard input"
    assert ended.stopped == set(), "they wait for a terminal that is not theirs"
    assert ended.survivors == []
    assert ".cc:" not in ended.text, "a line of Ray's C++ core, which says nothing to a user"


def check_interrupted(ended: Ended, status: int, says: str) -> None:
    check(ended, status)
    assert says in ended.text
    assert "Traceback" not in ended.text
    assert ended.seconds < SECONDS


@pytest.fixture(scope="module")
def indexed(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose one clip has only to be cut."""
    data = tmp_path_factory.mktemp("indexed") / "data"
    ran = demix("index", film, "--output", data, *SEQUENTIAL, "--set", 'order=["length", "clip_media"]')
    log.configure(None)
    assert ran.status == 0, ran.err
    return data


def test_index_and_annotate_end_at_a_terminal(start: Start, film: Path, indexed: Path, tmp_path: Path) -> None:
    ended = start(*DEMIX, "index", film, "--output", tmp_path / "data", "--address", "local").end(120)
    check(ended)
    assert "1 clips are in the clip table" in ended.text
    shutil.copytree(indexed, tmp_path / "copy")
    session = start(*DEMIX, "annotate", "--output", tmp_path / "copy", "--runner", "ray", "--address", "local")
    session.until_process("StageActor", 120)
    check(session.end(120))
    assert temporary() == []


@pytest.mark.parametrize(
    ("moment", "send", "status", "says"),
    [
        ("imports", "ctrl-c", 130, "interrupted; give the same command again"),
        ("probe", "ctrl-c", 130, "interrupted; give the same command again"),
        ("ray", "SIGTERM", 143, "terminated; give the same command again"),
        ("worker", "SIGTERM", 143, "terminated; give the same command again"),
        pytest.param("probe", "SIGTERM", 143, "terminated; give the same command again", marks=pytest.mark.slow),
        pytest.param("ray", "ctrl-c", 130, "interrupted; give the same command again", marks=pytest.mark.slow),
        pytest.param("worker", "ctrl-c", 130, "interrupted; give the same command again", marks=pytest.mark.slow),
        pytest.param("worker", "SIGHUP", 129, "", marks=pytest.mark.slow),
    ],
)
def test_a_command_that_is_interrupted_says_how_to_go_on(
    start: Start, film: Path, indexed: Path, tmp_path: Path, moment: str, send: str, status: int, says: str
) -> None:
    data = tmp_path / "data"
    if moment in ("imports", "probe"):
        session = start(*DEMIX, "index", film, "--output", data, "--address", "local")
    else:
        shutil.copytree(indexed, data)
        session = start(*DEMIX, "annotate", "--output", data, "--runner", "ray", "--address", "local")
    if moment == "imports":
        session.until_loaded("pydantic_core", 60)
    else:
        process = {"probe": "demix.media.sandbox", "ray": "gcs_server", "worker": "StageActor"}[moment]
        session.until_process(process, 60)
    if send == "ctrl-c":
        session.press(CTRL_C)
        if moment != "imports":  # it may be gone by then, and the terminal forgets what was not read
            session.press(CTRL_C)
    else:
        os.kill(session.pid, getattr(signal, send))
    check_interrupted(session.end(60), status, says)
    assert temporary() == []
    assert not [path for path in tmp_path.rglob(".*") if path.name != ".work"], "files that were being written"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_build_annotate_and_pack_end_at_a_terminal(start: Start, film: Path, tmp_path: Path) -> None:
    data, local = tmp_path / "data", ("--address", "local")
    check(start(*DEMIX, "build", film, "--kind", "talking_head", "--output", tmp_path / "other", *local).end(400))
    check(start(*DEMIX, "index", film, "--kind", "talking_head", "--output", data, *local).end(200))

    session = start(*DEMIX, "annotate", "--output", data, "--runner", "ray", *local)
    session.until_process("StageActor", 100)
    session.press(CTRL_C)
    check_interrupted(session.end(60), 130, "give the same command again")
    check(start(*DEMIX, "annotate", "--output", data, *local).end(400))

    session = start(*DEMIX, "pack", "--output", data, "--runner", "ray", *local)
    session.until_process("gcs_server", 100)
    session.press(CTRL_C)
    check_interrupted(session.end(60), 130, "give the same command again")
    check(start(*DEMIX, "pack", "--output", data, *local).end(200))
    assert temporary() == []


@pytest.mark.parametrize(
    ("runner", "send", "status"),
    [
        ("auto", "SIGTERM", 143),
        pytest.param("auto", "SIGINT", 130, marks=pytest.mark.slow),
        pytest.param("ray", "SIGTERM", 143, marks=pytest.mark.slow),
    ],
)
def test_clips_that_are_being_cut_leave_nothing_half_written(
    start: Start, runner: str, send: str, status: int, tmp_path: Path
) -> None:
    """Interrupted while ffmpeg writes a clip into the work store."""
    make_film(tmp_path / "film.mp4", (Shot("china", 12.0),), size=(640, 360), seed=3)
    data, order = tmp_path / "data", ("--set", 'order=["length", "clip_media"]')
    slow = ("--set", "clip_media.preset=slower")
    ran = demix("index", tmp_path / "film.mp4", "--output", data, *SEQUENTIAL, *order, *slow)
    log.configure(None)
    assert ran.status == 0, ran.err
    session = start(*DEMIX, "annotate", "--output", data, "--runner", runner, "--address", "local")
    session.until_file(data, ".*.tmp.mp4", 120)
    os.kill(session.pid, getattr(signal, send))
    check_interrupted(session.end(60), status, "give the same command again")
    assert not [path for path in data.rglob(".*") if path.name != ".work"]
    assert temporary() == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_build_of_make_demo_ends_at_a_terminal(start: Start, tmp_path: Path) -> None:
    """Its command, on the shortest of its films that has sound."""
    films = sorted(make_demo(tmp_path / "films"), key=lambda film: film.frames)
    table = tmp_path / "films/sources.csv"
    rows = list(csv.reader(table.read_text().splitlines()))
    short = [row for row in rows if any(films[1].name in word for word in row)]
    table.write_text("\n".join(",".join(row) for row in (rows[0], *short)) + "\n")
    words = ("--address", "local", "--keep-work", "--set", "pack.test_seed=1")
    check(start(*DEMIX, "build", table, "--output", tmp_path / "data", *words).end(900))
    check(start(*DEMIX, "verify", tmp_path / "data").end(120))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_training_ends_at_a_terminal_and_goes_on(start: Start, tmp_path: Path) -> None:
    dataset, run = write_tars(tmp_path / "tars", [TinyClip(number) for number in range(5)]), tmp_path / "run"
    settings = ("data.loader.workers=2", "validation.every=0", "stages.single_character.steps=40", "log.every=1")
    command = (*MTV, "train", "tiny", "--data", dataset, "--run", run, "--skip-empty-stages", "--device", "cpu")
    words = [*command, *(word for setting in settings for word in ("--set", setting))]
    for method in ("fork", "spawn"):
        session = start(*words, "--set", f"data.loader.start_method={method}")
        session.until(r"step \d+/40 ", 200)
        session.press(CTRL_C)
        session.press(CTRL_C)
        check_interrupted(session.end(60), 130, "go on from the last checkpoint")
    check(start(*words).end(400))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("send", ["nothing", "ctrl-c", "SIGKILL"])
def test_processes_that_sample_end_at_a_terminal(start: Start, tmp_path: Path, send: str) -> None:
    model = write_model(tmp_path / "model")
    jobs = write_jobs(tmp_path / "jobs.jsonl", *(job(name) for name in "abc"))
    steps = "1" if send == "nothing" else "1000"
    session = start(
        *MTV, "sample", model, "--jobs", jobs, "--out", tmp_path / "out", "--steps", steps, "--workers", "2"
    )
    if send == "nothing":
        check(session.end(400))
        return
    session.until_process("spawn_main", 100)
    if send == "ctrl-c":
        session.press(CTRL_C)
        check_interrupted(session.end(60), 130, "give the same command again")
    else:
        os.kill(session.pid, signal.SIGKILL)
        check(session.end(60), 128 + signal.SIGKILL)
