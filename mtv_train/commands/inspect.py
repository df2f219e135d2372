"""`mtv_train inspect`: where a run stands."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from demix.config import ConfigError, validate
from demix.store import atomic
from mtv_train.config import TrainSettings
from mtv_train.train.checkpoint import committed, read_state
from mtv_train.train.sinks import read_metrics

HELD_OUT = {"held_out/all": "held out", "held_out_average/all": "held out, average"}
"""The curves of the held-out loss, and what they are called."""


def inspect(args: argparse.Namespace) -> int:
    """Stages, losses, checkpoints; draws the loss curves."""
    settings = read_settings(args.run)
    rows = read_metrics(args.run)
    console = Console()
    saves = committed(args.run)
    if saves:
        saved = read_state(args.run, saves[-1])
        position = saved["position"]
        print(
            f"committed checkpoints: {', '.join(map(str, saves))}; the newest stands in stage {position['stage']}, "
            f"step {position['stage_step']}, sample {position['samples_seen']} (written by {saved['world']} rank(s))"
        )
    else:
        print("no committed checkpoint yet")
    console.print(_table(settings, rows))
    for text in held_out(rows):
        print(text)
    for name in ("validation", "profile"):
        found = sorted((args.run / name).glob("*")) if (args.run / name).is_dir() else []
        if found:
            print(f"{name}: {len(found)} file(s), the newest {found[-1]}")
    if rows:
        path = args.plot or args.run / "loss.png"
        draw(rows, path)
        print(f"curves: {path}")
    return 0


def read_settings(run: Path) -> TrainSettings:
    """The settings that a run was begun with. Raises `ConfigError` where there is no run."""
    path = run / "settings.json"
    if not path.exists():
        raise ConfigError(f"{run}: no settings.json here; this is not the folder of a run")
    return validate(TrainSettings, json.loads(path.read_text(encoding="utf-8")))


def _table(settings: TrainSettings, rows: Sequence[dict[str, Any]]) -> Table:
    table = Table("stage", "steps", "first loss", "last loss", "grad", "s/step", "data", "by subset", box=None)
    for column in table.columns[1:7]:
        column.justify = "right"
    for name, stage in settings.stages.items():
        own = [row for row in rows if row["stage"] == name]
        if not own:
            table.add_row(name, f"0/{stage.steps}")
            continue
        last = own[-1]
        subsets = ", ".join(
            f"{key.removeprefix('losses/')} {value:.4f}" for key, value in last.items() if key.startswith("losses/")
        )
        table.add_row(
            name,
            f"{last['stage_step']}/{stage.steps}",
            f"{own[0]['loss']:.4f}",
            f"{last['loss']:.4f}",
            f"{last['grad_norm']:.3g}",
            f"{last['seconds_per_step']:.2f}",
            f"{last['data_wait']:.0%}",
            subsets,
        )
    return table


def held_out(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The newest held-out losses, of the parameters and of their average, a line each."""
    lines = []
    for name, of in (("held_out", "parameters"), ("held_out_average", "average")):
        measured = [row for row in rows if f"{name}/all" in row]
        if measured:
            last = measured[-1]
            parts = (f"{key.split('/')[1]} {value:.4f}" for key, value in last.items() if key.startswith(f"{name}/"))
            lines.append(f"held-out loss of the {of} at step {last['step']}: {', '.join(parts)}")
    return lines


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The loss over the steps as a picture: one line a subset, the stages marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines: dict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    for row in rows:
        for key, value in row.items():
            if key.startswith("losses/") or key in HELD_OUT:
                label = HELD_OUT.get(key, key.removeprefix("losses/"))
                lines[label][0].append(row["step"])
                lines[label][1].append(value)
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, (steps, losses) in lines.items():
        axes.plot(steps, losses, label=name, linewidth=1.2, marker="." if len(steps) < 50 else "")
    starts = {row["stage"]: row["step"] for row in reversed(rows)}
    for name, step in starts.items():
        axes.axvline(step, color="0.8", linewidth=0.8, zorder=0)
        axes.text(step, 1.0, f" {name}", transform=axes.get_xaxis_transform(), va="bottom", fontsize=8, color="0.4")
    axes.set(xlabel="step", ylabel="loss", yscale="log")
    axes.legend(fontsize=8, frameon=False)
    with atomic(path) as aside:
        figure.savefig(aside, dpi=120)
