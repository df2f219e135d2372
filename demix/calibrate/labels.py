"""Labels by hand: which clips a person would keep. A CSV with the columns `clip_id` and `label`, `good` or `bad`."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from demix.config import ConfigError
from demix.store import atomic

Label = Literal["good", "bad"]
LABELS: tuple[str, ...] = get_args(Label)


def read_labels(path: Path) -> dict[str, Label]:
    """Clip id -> label; of several about one clip the last counts. Raises `ConfigError` naming file and line."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); `demix calibrate DATASET --label` writes it") from error
    labels: dict[str, Label] = {}
    for number, row in enumerate(rows, start=2):
        label = row.get("label")
        if not row.get("clip_id") or label not in LABELS:
            raise ConfigError(f"{path}, line {number}: a clip_id and a label ({' or '.join(LABELS)}) are needed")
        labels[row["clip_id"]] = "good" if label == "good" else "bad"
    return labels


def write_labels(path: Path, labels: Mapping[str, Label]) -> None:
    """All labels, in the order they were given; whole or not at all."""
    with atomic(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["clip_id", "label"])
        table.writerows(labels.items())
