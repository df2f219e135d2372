"""Guards: a machine too busy for Ray's half minute costs another attempt, and in the end a sentence, no traceback."""

from __future__ import annotations

import pytest
import ray

from demix.config import ConfigError
from demix.engine import ray_runner
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
