"""Where a run's numbers go: a file of JSON lines, TensorBoard, Weights & Biases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from demix.config import ConfigError
from mtv_train.config import LogSettings


class Sink(Protocol):
    """Where numbers go. `numbers` are flat: name -> value."""

    def write(self, step: int, numbers: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """RUN/metrics.jsonl: one object a line. A resumed run writes its steps again; readers take the last of a step."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, numbers: Mapping[str, Any]) -> None:
        self._file.write(json.dumps({"step": step, **numbers}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorBoard:
    """RUN/tensorboard, in TensorBoard's own files."""

    def __init__(self, folder: Path):
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A project at wandb.ai or a server of one's own."""

    def __init__(self, project: str, run: Path, settings: Mapping[str, Any]):
        try:
            import wandb
        except ImportError as error:
            raise ConfigError(
                "log.wandb needs the package wandb: pip install wandb, or leave log.wandb empty"
            ) from error
        self._run = wandb.init(project=project, name=run.name, dir=str(run), config=dict(settings), resume="allow")

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log({name: value for name, value in numbers.items() if isinstance(value, int | float)}, step=step)

    def close(self) -> None:
        self._run.finish()


def make_sinks(run: Path, settings: LogSettings, tree: Mapping[str, Any]) -> list[Sink]:
    """Those that the settings ask for. For the first rank only."""
    sinks: list[Sink] = [JsonLines(run / "metrics.jsonl")]
    if settings.tensorboard:
        sinks.append(TensorBoard(run / "tensorboard"))
    if settings.wandb:
        sinks.append(WeightsAndBiases(settings.wandb, run, tree))
    return sinks


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The log lines of a run, each step once (the last that was written of it), rising."""
    path = run / "metrics.jsonl"
    if not path.exists():
        raise ConfigError(f"{run}: no metrics.jsonl here; this is not the folder of a run, or it has not logged yet")
    rows: dict[int, dict[str, Any]] = {}
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(text)
        except json.JSONDecodeError:  # the half line that a killed run leaves; it is written again when resumed
            continue
        rows[row["step"]] = row
    return [rows[step] for step in sorted(rows)]
