"""A caption server that the worker starts itself: watched, started again, stopped, and never believed blindly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from demix.config import ConfigError
from demix.engine import log
from demix.errors import MachineTrouble
from demix.models import choose
from demix.models.captioning import Scene, launched, server
from demix.models.captioning.launched import command
from demix.models.captioning.server import ServerCaptioner
from demix.models.captioning.settings import LaunchSettings, ServerSettings
from demix.models.service import ServiceBusy
from demix.stage import Resources
from demix.stages.captioning import CaptionSettings, CaptionStage
from tests.models.captioning.fake_vllm import environment, lines


def scene(number: int = 1, persons: int = 0) -> Scene:
    """Told apart by its length, of which the fake server speaks."""
    return Scene(
        clip_id=f"clip{number}", frames=np.full((1, 8, 8, 3), 90, np.uint8), times=(0.5,), seconds=float(number),
        faces=((),), persons=persons, speakers=persons, audible=frozenset(),
    )  # fmt: skip


def settings(folder: Path, launch: dict[str, Any] | None = None, **others: Any) -> ServerSettings:
    values = {"retries": 1, "repairs": 0, "timeout_seconds": 10.0, "concurrency": 4, **others}
    return ServerSettings(
        start="vllm", launch=LaunchSettings(environment=str(folder), start_seconds=20, **(launch or {})), **values
    )


class Place:
    """Makes captioners of one environment; `told` is the folder that tells their servers what to do."""

    def __init__(self, folder: Path, stack: ExitStack):
        self.folder, self.stack = folder, stack
        self.told = environment(folder)

    def tell(self, **said: object) -> None:
        for name, value in said.items():
            (self.told / name).write_text(str(value))

    def captioner(self, launch: dict[str, Any] | None = None, **others: Any) -> ServerCaptioner:
        made = ServerCaptioner(settings(self.folder, launch, **others))
        self.stack.callback(made.close)
        return made

    @property
    def starts(self) -> list[int]:
        return [int(line) for line in lines(self.told, "starts")]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(launched, "_POLL_SECONDS", 0.02)
    monkeypatch.setattr(launched, "_HEALTH_SECONDS", 1.0)
    monkeypatch.setattr(server, "LONGEST_WAIT", 0.05)
    log.configure(tmp_path / "logs")
    with ExitStack() as stack:
        yield Place(tmp_path / "environment", stack)
    log.configure(None)


def gone(number: int, seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def texts(captioner: ServerCaptioner, numbers: range) -> list[str]:
    return [description.scene for description in captioner.describe([scene(number) for number in numbers])]


def lengths(numbers: range) -> list[str]:
    return [f"It lasts {number}.00." for number in numbers]


def test_it_is_started_kept_full_and_stopped_with_what_it_has_started(place: Place) -> None:
    place.tell(start=0.3, slow=0.1, child=1)
    captioner = place.captioner()
    assert texts(captioner, range(1, 13)) == lengths(range(1, 13))
    assert max(map(int, lines(place.told, "at_once"))) == 4, "as many questions at once as it may be asked"
    assert len(place.starts) == 2, "itself and its child"
    captioner.close()
    assert all(gone(number) for number in place.starts)


def test_scenes_are_made_while_others_are_asked(place: Place) -> None:
    place.tell(slow=0.2)
    captioner = place.captioner(concurrency=2)

    def made(number: int) -> Scene:
        time.sleep(0.2)
        return scene(number)

    began = time.monotonic()
    found = captioner.describe([lambda number=number: made(number) for number in range(1, 9)])
    assert [each.scene for each in found] == lengths(range(1, 9))
    assert time.monotonic() - began < 8 * 0.4 * 0.85, "one after the other: 3.2 s"


def test_it_comes_back_when_it_dies_and_every_question_is_answered(place: Place) -> None:
    captioner = place.captioner()
    assert texts(captioner, range(1, 3)) == lengths(range(1, 3))
    os.kill(place.starts[-1], signal.SIGKILL)
    assert texts(captioner, range(3, 9)) == lengths(range(3, 9))
    assert len(place.starts) == 2


def test_one_that_hangs_is_ended_and_started_again(place: Place) -> None:
    captioner = place.captioner(timeout_seconds=1.0)
    place.tell(hang=1)
    assert texts(captioner, range(1, 7)) == lengths(range(1, 7))
    assert len(place.starts) == 2
    assert gone(place.starts[0])


def test_a_question_that_kills_it_again_and_again_is_given_up_and_the_others_are_answered(place: Place) -> None:
    """The engine then asks clip by clip; a failure in doubt is charged only to what goes on failing while others
    pass."""
    place.tell(poison="lasts for 3.00")
    captioner = place.captioner()
    with pytest.raises(ServiceBusy, match="it ended or hung at this question"):
        captioner.describe([scene(number) for number in range(1, 7)])
    for number in (1, 2, 4, 5, 6, 7):
        assert texts(captioner, range(number, number + 1)) == lengths(range(number, number + 1))
    before = len(place.starts)
    with pytest.raises(ServiceBusy):
        captioner.describe([scene(3)])
    assert texts(captioner, range(8, 9)) == lengths(range(8, 9))
    assert len(place.starts) == before + 2, "and not as often as it may be asked"


@pytest.mark.parametrize("how", ["fail", "garble", "swap"])
def test_bad_answers_are_asked_for_again(place: Place, how: str) -> None:
    place.tell(**{how: 2})
    captioner = place.captioner(retries=3)
    assert texts(captioner, range(1, 9)) == lengths(range(1, 9))
    assert len(lines(place.told, "questions")) == 8 + 2
    assert len(place.starts) == 1, "a server that answers its health is left alone"


def test_an_answer_to_another_question_is_never_taken(place: Place) -> None:
    """Not once: the server mixes up all it is asked."""
    place.tell(swap=1000)
    captioner = place.captioner(concurrency=2)
    with pytest.raises(ServiceBusy, match="an answer to another question"):
        captioner.describe([scene(1), scene(2)])


def test_a_slow_answer_is_not_waited_for_for_ever_and_ends_no_healthy_server(place: Place) -> None:
    captioner = place.captioner(timeout_seconds=0.2, retries=0)
    place.tell(slow=0.6)
    with pytest.raises(ServiceBusy, match="no answer"):
        captioner.describe([scene(1)])
    assert len(place.starts) == 1


def test_one_that_does_not_start_is_the_machines_trouble(place: Place) -> None:
    place.tell(start="die")
    with pytest.raises(MachineTrouble, match="it ended before it had come up; its last words: CUDA error") as caught:
        place.captioner()
    assert f"see {place.folder.parent}/logs/caption_server-{os.getpid()}.log" in str(caught.value)
    assert len(place.starts) == 2, "tried twice"


def test_one_that_does_not_come_up_in_time_is_ended(place: Place) -> None:
    place.tell(start=60)
    with pytest.raises(MachineTrouble, match=r"it did not come up within 1 s .*start_seconds"):
        ServerCaptioner(settings(place.folder).model_copy(update={"launch": LaunchSettings(
            environment=str(place.folder), start_seconds=1.0)}))  # fmt: skip
    assert gone(place.starts[0])


def test_one_that_ends_again_and_again_is_the_machines_trouble(place: Place) -> None:
    """Whatever it is asked: no clip is to blame."""
    captioner = place.captioner({"restarts": 3})
    place.tell(poison="lasts")
    for number, kind in enumerate((ServiceBusy, ServiceBusy, MachineTrouble, MachineTrouble)):
        with pytest.raises(kind):
            captioner.describe([scene(number)])
    assert len(place.starts) == 4


WORKER = """
import sys, time
from tests.models.captioning.test_launched import *
log.configure(Path(sys.argv[1]))
made = ServerCaptioner(settings(Path(sys.argv[1])))
print("up", flush=True)
time.sleep(100)
"""


def test_it_ends_with_its_worker_however_that_ends(place: Place) -> None:
    """Also what it has started itself, as vLLM starts its engine."""
    place.tell(child=1)
    command = [sys.executable, "-c", WORKER, str(place.folder)]
    root = str(Path(__file__).parents[3])
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, env=os.environ | {"PYTHONPATH": root}) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"up\n"
        worker.kill()
    assert len(place.starts) == 2
    assert all(gone(number) for number in place.starts)


def test_an_environment_that_is_not_there_is_found_before_any_work(tmp_path: Path) -> None:
    stage = CaptionStage(CaptionSettings(model="server", server=settings(tmp_path / "none")))
    [(path, said)] = stage.programs()
    assert path == str(tmp_path / "none/bin/python")
    assert "run `make vllm-env`" in said
    with pytest.raises(ConfigError, match="make vllm-env"):
        ServerCaptioner(settings(tmp_path / "none"))


def test_the_share_of_a_gpu_and_the_batch_follow_from_the_settings(tmp_path: Path) -> None:
    made = CaptionStage(CaptionSettings(model="server", server=settings(tmp_path, {"gpus": 0.5})))
    assert made.resources == Resources(cpus=1, gpus=0.5, pool="caption_server")
    assert (made.batch_size, made.timeout_seconds) == (16, CaptionStage.timeout_seconds + 20)
    plain = CaptionStage(CaptionSettings(model="server"))
    assert plain.resources == Resources(cpus=0.5, pool="caption_server")
    assert (plain.batch_size, plain.programs()) == (32, ())
    assert choose("captioning", "facts", CaptionSettings()).programs == ()
    with pytest.raises(ValueError, match="a whole number"):
        ServerSettings(start="vllm", launch=LaunchSettings(gpus=1.5))


@pytest.mark.parametrize(("start", "gpus"), [("vllm", 0.5), ("vllm", 2), ("sglang", 1), ("sglang", 4)])
def test_commands(tmp_path: Path, start: str, gpus: float) -> None:
    environment(tmp_path)
    launch = LaunchSettings(environment=str(tmp_path), gpus=gpus, model="/models/{odd}", arguments="--seed 7 'a b'")
    words = command(ServerSettings(start=start, launch=launch), 81, "key")
    assert words[:2] == [str(tmp_path / "bin/python"), "-m"]
    assert words[-3:] == ["--seed", "7", "a b"]
    assert words[words.index("--port") + 1] == "81"
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert "/models/{odd}" in words
    share = words[words.index("--gpu-memory-utilization" if start == "vllm" else "--mem-fraction-static") + 1]
    assert float(share) == pytest.approx(0.9 * min(1, gpus))
    assert ("key" in words) == (start == "sglang"), "vLLM reads it from its environment"
    assert ({"--tensor-parallel-size", "--tp-size"} & {*words} != set()) == (gpus > 1)
