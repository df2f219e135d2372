"""At a real (pseudo) terminal: the commands beside building and training, a debugger that wants the terminal, and a
cluster whose head was started at one."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from demix.engine import log
from tests.build.running import SEQUENTIAL, demix
from tests.mtv_train.datasets import TinyClip, write_tars
from tests.mtv_train.evaluate.making import write_videos
from tests.mtv_train.sample.making import write_model
from tests.terminal.pseudo import CTRL_C, Session
from tests.terminal.test_at_terminal import DEMIX, MTV, check, check_interrupted, temporary

Start = Callable[..., Session]
RAY = (str(Path(sys.executable).with_name("ray")),)
AGAIN = "interrupted; give the same command again"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize("moment", ["text ", "gcs_server", ""])
def test_precompute_ends_at_a_terminal(start: Start, tmp_path: Path, moment: str) -> None:
    data = write_tars(tmp_path / "tars", [TinyClip(number) for number in range(4)])
    words = ("precompute", data, "--recipe", "tiny", "--out", tmp_path / "cache", "--runner", "ray")
    session = start(*MTV, *words, "--address", "local")
    if not moment:
        check(session.end(400))
        assert temporary() == []
        return
    if moment == "gcs_server":
        session.until_process(moment, 200)
    else:
        session.until(moment, 200)  # the second of three parts
    session.press(CTRL_C)
    ended = session.end(60)
    check_interrupted(ended, 130, AGAIN)
    assert "checkpoint" not in ended.text
    assert temporary() == []


@pytest.mark.parametrize("interrupted", [False, True])
def test_evaluate_ends_at_a_terminal(start: Start, tmp_path: Path, interrupted: bool) -> None:
    videos = write_videos(tmp_path / "videos", [1, 2, 3], frames=24)
    words = ("evaluate", "--generated", videos, "--networks", "tiny", "--metrics", "av_align,text_c")
    session = start(*MTV, *words, "--cache", tmp_path / "cache", "--out", tmp_path / "report", "--device", "cpu")
    if not interrupted:
        check(session.end(300))
        return
    session.until_loaded("libtorch_cpu", 100)
    session.press(CTRL_C)
    session.press(CTRL_C)
    check_interrupted(session.end(60), 130, AGAIN)


def test_the_studio_ends_at_a_terminal(start: Start, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    session = start(*MTV, "studio", model, "--out", tmp_path / "out", "--port", str(free_port()), "--device", "cpu")
    session.until(r"127\.0\.0\.1:\d+", 200)
    session.press(CTRL_C)
    ended = session.end(60)
    check(ended, 130)
    assert "interrupted" in ended.text
    assert "Traceback" not in ended.text


def test_a_debugger_has_the_terminal(start: Start, film: Path, tmp_path: Path) -> None:
    """The film is gone when its stage runs again: `replay --pdb` stops there and answers what is typed."""
    data = tmp_path / "data"
    ran = demix("index", film, "--output", data, *SEQUENTIAL, "--set", 'order=["length", "clip_media"]')
    log.configure(None)
    assert ran.status == 0, ran.err
    away = film.with_name("away.mp4")
    film.rename(away)
    try:
        clip = re.findall(r'"id": ?"([0-9a-f]{16})"', (data / ".work/candidates.jsonl").read_text())[0]
        session = start(*DEMIX, "replay", "--output", data, "--clip", clip, "--stage", "probe", "--pdb")
        session.until(r"\(Pdb\) ", 100)
        session.press(b"p 6 * 7 * 1000\r")
        session.until("42000", 30)
        session.press(CTRL_C)  # the debugger's own: it goes on asking
        session.press(b"p 6 * 7 * 1001\r")
        session.until("42042", 30)
        session.press(b"q\r")
        ended = session.end(60)
    finally:
        away.rename(film)
    assert ended.status == 1, ended.text[-3000:]
    assert "SourceMissing" in ended.text
    assert ended.survivors == []


def test_a_cluster_whose_head_has_a_terminal(start: Start, film: Path, tmp_path: Path) -> None:
    """Ray hands the head's terminal on to its workers, in which libraries would be stopped that read it."""
    port, token = free_port(), {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
    ports = (f"--port={port}", f"--ray-client-server-port={free_port()}", "--include-dashboard=false")
    place = ("--node-ip-address=127.0.0.1", f"--temp-dir=/tmp/demix-test-{os.getpid()}/ray", "--num-cpus=2")
    head = start(*RAY, "start", "--head", "--block", *ports, *place, **token)
    head.until("Ray runtime started", 120)
    data, there = tmp_path / "data", ("--runner", "ray", "--address", f"127.0.0.1:{port}")
    words = (*DEMIX, "index", film, "--output", data, *there, "--set", 'order=["length", "clip_media"]')
    check(start(*words, **token).end(300))
    session = start(*DEMIX, "annotate", "--output", data, *there, **token)
    session.until("placement on", 200)
    session.press(CTRL_C)
    check_interrupted(session.end(60), 130, AGAIN)
    check(start(*DEMIX, "annotate", "--output", data, *there, **token).end(300))
    head._look()
    assert head.ended.stopped == set(), "workers that wait for the head's terminal"
    assert not {name for name in head.ended.readers if "StageActor" in name}
    head.press(CTRL_C)
    head.end(60)


def test_what_a_killed_driver_left_goes_with_the_next_run(start: Start, film: Path, tmp_path: Path) -> None:
    """Its temporary folder, and the folder of the Ray session that it had started."""
    words = (*DEMIX, "index", film, "--output", tmp_path / "data", "--runner", "ray", "--address", "local")
    session = start(*words)
    session.until("placement on", 200)
    os.kill(session.pid, signal.SIGKILL)
    check(session.end(60), 128 + signal.SIGKILL)
    assert any(name.startswith("session_") for name in temporary())
    assert any(name.startswith("demix-") for name in temporary())
    check(start(*words).end(300))
    assert temporary() == []
