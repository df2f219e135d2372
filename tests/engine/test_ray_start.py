"""Guards: a machine too busy for Ray's half minute costs another attempt, and in the end a sentence, no traceback."""

from __future__ import annotations

import socket
import threading
import time
from types import SimpleNamespace

import pytest
import ray

from demix.config import ConfigError
from demix.engine import ray_head, ray_runner
from demix.engine.runner import EngineSettings


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every attempt at starting Ray, all of them in vain."""
    made: list[str] = []

    def too_slow(**options: object) -> None:
        made.append(str(options["address"]))
        raise Exception("The current node timed out during startup.")  # as Ray does

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", too_slow)
    return made


def test_a_start_that_takes_too_long_is_tried_again_and_then_explained(attempts: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"seems busy: .* engine\.runner=sequential"):
        ray_runner.RayRunner(EngineSettings(address="local"))
    assert attempts == ["local"] * 3


def test_another_failure_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**options: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", broken)
    with pytest.raises(OSError, match="no space"):
        ray_runner.RayRunner(EngineSettings(address="local"))


def test_a_head_that_does_not_answer_any_more_ends_the_process_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ray itself would end it without one. A head that answers is left alone; tests/cluster loses a real one."""
    ended = threading.Event()
    statuses: list[int] = []

    def end(status: int) -> None:
        statuses.append(status)
        ended.set()

    monkeypatch.setattr(ray_head, "_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(ray_head, "_GONE_SECONDS", 0.2)
    monkeypatch.setattr(ray_head.os, "_exit", end)
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address=address))
        monkeypatch.setattr(ray, "is_initialized", lambda: True)
        watch = ray_head.HeadWatch()
        assert not ended.wait(0.6)
    assert ended.wait(5)
    watch.close()
    assert statuses[0] == 3
    statuses.clear()
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    ray_head.HeadWatch()
    time.sleep(0.6)
    assert not statuses, "who has left the cluster has nothing to do with its head"
    assert f"the head of the Ray cluster ({address}) has not answered" in capsys.readouterr().err
