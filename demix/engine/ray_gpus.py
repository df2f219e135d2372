"""Whether models run on GPUs, and the wait for GPUs that are not there yet."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ray.autoscaler.sdk import request_resources

from demix.config import ConfigError
from demix.engine.placement import Node
from demix.engine.placement_text import counted
from demix.engine.runner import EngineSettings
from demix.errors import MachineTrouble
from demix.machine import GO_ON

SAY_SECONDS = 30.0
"""How often a build that waits says so."""
LOOK_SECONDS = 2.0


def on_gpus(
    wanting: Sequence[str], engine: EngineSettings, nodes: Callable[[], list[Node]], tell: Callable[[str], None]
) -> bool:
    """Whether the stages that want GPUs (`wanting`) get some. Waits for as many as the settings say.

    Raises `ConfigError` where GPUs are insisted on and there are none, `MachineTrouble` where they do not come.
    """
    if not wanting or engine.device == "cpu":
        return False
    names = ", ".join(wanting)
    if engine.gpus.least:
        _wait(names, engine, nodes, tell)
        return True
    if _gpus(nodes()):
        return True
    if engine.device == "cuda":
        raise ConfigError(
            f"{names}: GPUs are wanted (engine.device=cuda), and the cluster has none; set engine.gpus.least to wait "
            "for some, or engine.device to auto or cpu"
        )
    tell(
        f"no GPU is in the cluster: the models of {names} run on processors, which takes far longer. To wait for GPUs, "
        "set engine.gpus.least"
    )
    return False


def _wait(names: str, engine: EngineSettings, nodes: Callable[[], list[Node]], tell: Callable[[str], None]) -> None:
    least, most = engine.gpus.least, engine.gpus.wait_seconds
    began = said = time.monotonic()
    if _gpus(nodes()) < least:
        request_resources(bundles=[{"GPU": 1}] * least)  # what makes a cluster grow that can
        tell(f"{names}: waiting for {counted(least, 'GPU')} (engine.gpus.least), for {most:.0f} s at most")
    while (there := _gpus(nodes())) < least:
        now = time.monotonic()
        if now - began >= most:
            raise MachineTrouble(
                f"{names}: {counted(least, 'GPU')} were waited for {most:.0f} s, and the cluster has {there:g}; see "
                f"with `ray status` why no more come, or lower engine.gpus.least, {GO_ON}"
            )
        if now - said >= SAY_SECONDS:
            said = now
            tell(f"{names}: waiting for {counted(least, 'GPU')}, {there:g} there, {now - began:.0f} s so far")
        time.sleep(LOOK_SECONDS)


def _gpus(nodes: Sequence[Node]) -> float:
    return sum(node.gpus for node in nodes)
