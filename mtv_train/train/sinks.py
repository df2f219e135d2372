"""Where a run's numbers go: a file of JSON lines, TensorBoard, Weights & Biases."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from demix.config import ConfigError
from demix.store import atomic
from mtv_train.config import LogSettings


class Sink(Protocol):
    """Where numbers go. `numbers` are flat: name -> value."""

    def write(self, step: int, numbers: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """RUN/metrics.jsonl: one object a line. What was written of steps after `step`, where the run goes on, is removed:
    those steps are trained again, perhaps with other settings."""

    def __init__(self, path: Path, step: int):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            kept = [row for row in _rows(path) if row["step"] <= step]
            with atomic(path) as aside:
                aside.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, numbers: Mapping[str, Any]) -> None:
        self._file.write(json.dumps({"step": step, **numbers}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorBoard:
    """RUN/tensorboard, in TensorBoard's own files. Points after `step` that lie there already are not shown."""

    def __init__(self, folder: Path, step: int):
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A project at wandb.ai or a server of one's own. RUN/wandb_id names the run there, so that a resumed run goes on
    with its own curves; their horizontal axis is the step of training."""

    def __init__(self, project: str, run: Path, settings: Mapping[str, Any]):
        try:
            import wandb
        except ImportError as error:
            raise ConfigError(
                "log.wandb needs the package wandb: pip install wandb, or leave log.wandb empty"
            ) from error
        named = run / "wandb_id"
        if not named.exists():
            with atomic(named) as aside:
                aside.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
        self._run = wandb.init(
            project=project,
            name=run.name,
            id=named.read_text(encoding="utf-8").strip(),
            dir=str(run),
            config=dict(settings),
            resume="allow",
            allow_val_change=True,
        )
        # wandb's own steps can only rise, and a resumed run trains some again.
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log({"step": step, **{name: one for name, one in numbers.items() if isinstance(one, int | float)}})

    def close(self) -> None:
        self._run.finish()


def make_sinks(run: Path, settings: LogSettings, tree: Mapping[str, Any], step: int) -> list[Sink]:
    """Those that the settings ask for, of a run that goes on after `step`. For the first rank only."""
    sinks: list[Sink] = [JsonLines(run / "metrics.jsonl", step)]
    if settings.tensorboard:
        sinks.append(TensorBoard(run / "tensorboard", step))
    if settings.wandb:
        sinks.append(WeightsAndBiases(settings.wandb, run, tree))
    return sinks


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The log lines of a run, each step once, rising: of each number the last that was written of a step."""
    path = run / "metrics.jsonl"
    if not path.exists():
        raise ConfigError(f"{run}: no metrics.jsonl here; this is not the folder of a run, or it has not logged yet")
    rows: dict[int, dict[str, Any]] = {}
    for row in _rows(path):
        rows.setdefault(row["step"], {}).update(row)
    return [rows[step] for step in sorted(rows)]


def _rows(path: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics.jsonl. The half line that a killed run leaves is of a step that is trained again."""
    rows = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows
