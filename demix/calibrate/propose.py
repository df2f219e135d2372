"""Thresholds for a wanted yield, or for a wanted agreement with labels by hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from demix.calibrate.columns import FIXED, Column, Columns
from demix.config import ConfigError

STEPS = 60
"""Halvings of the share that every setting drops: more than a float can tell apart."""
CANDIDATES = 200
"""Values tried of one setting: every one of a few hundred labelled clips, evenly spaced ones of more."""
ROUNDS = 20


@dataclass(frozen=True)
class Proposal:
    thresholds: dict[str, float]
    """Setting -> value, of the settings that may be moved."""
    reached: float
    """The yield, or the agreement, 0..1, over the clips that it was asked of."""


def for_yield(columns: Columns, keep: float, move: Collection[str] = ()) -> Proposal:
    """Thresholds that `keep` a share, 0..1, of all clips that were judged, or a little more.

    They all move the same way, stricter or looser than now, and to where each drops the same share of the clips that it
    judges; one that is stricter (or looser) already stays. Raises `ConfigError` where even the loosest keep less.
    """
    movable = _movable(columns, move)
    tighten = columns.passing({}).mean() >= keep

    def at(share: float) -> dict[str, float]:
        moved = ((column, column.neater(column.losing(share))) for column in movable)
        return {column.setting: (column.stricter if tighten else column.looser)(value) for column, value in moved}

    if (most := columns.passing(at(0.0)).mean()) < keep:
        raise ConfigError(
            f"--keep {keep:g}: thresholds that drop nothing at all keep {most:.1%} of the clips; the rest ends for "
            "other reasons (see the report's funnel), or --move names too few settings"
        )
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        share = (low + high) / 2
        low, high = (share, high) if columns.passing(at(share)).mean() >= keep else (low, share)
    found = at(low)
    return Proposal(found, float(columns.passing(found).mean()))


def for_labels(columns: Columns, labels: Mapping[str, bool], wanted: float, move: Collection[str] = ()) -> Proposal:
    """Thresholds that say of the labelled clips (id -> whether it should be kept) what the labels say, for a share
    `wanted`, 0..1, of them or for as many as can be.

    One setting is moved at a time, whichever gains most, and no further than is asked for. Raises `ConfigError` where
    no label is about a clip that was judged.
    """
    rows = np.array([index for index, name in enumerate(columns.ids) if name in labels], int)
    if not len(rows):
        raise ConfigError("none of the labels is about a clip of this dataset that a threshold judges")
    truth = np.array([labels[columns.ids[row]] for row in rows])
    movable = _movable(columns, move)
    found = {column.setting: column.threshold for column in movable}
    agreement = _agreement(columns, found, rows, truth)
    for _ in range(ROUNDS * len(movable)):
        if agreement >= wanted:
            break
        moves = [_best_move(columns, column, found, rows, truth) for column in movable]
        best, setting, value = max(moves, key=lambda move: move[0])
        if best <= agreement:
            break
        found[setting], agreement = value, best
    return Proposal(found, agreement)


def _best_move(
    columns: Columns, column: Column, found: Mapping[str, float], rows: np.ndarray, truth: np.ndarray
) -> tuple[float, str, float]:
    """(agreement, setting, value) of the best value of one setting while the others stay; of equals the looser one."""
    judged = np.unique(column.values[rows][column.judged[rows]])
    if not len(judged):
        return 0.0, column.setting, column.threshold
    chosen = judged[np.unique(np.linspace(0, len(judged) - 1, min(CANDIDATES, len(judged))).round().astype(int))]
    loosest_first = chosen if column.keeps == "at_least" else chosen[::-1]
    values = [column.neater(float(value)) for value in loosest_first]
    scored = [(_agreement(columns, {**found, column.setting: value}, rows, truth), value) for value in values]
    agreement, value = max(scored, key=lambda pair: pair[0])
    return agreement, column.setting, value


def _agreement(columns: Columns, thresholds: Mapping[str, float], rows: np.ndarray, truth: np.ndarray) -> float:
    return float((columns.passing(thresholds)[rows] == truth).mean())


def _movable(columns: Columns, move: Collection[str]) -> list[Column]:
    """The settings that are named, or all but the fixed ones. Raises `ConfigError` for one that judges nothing here."""
    known = {column.setting: column for column in columns.columns}
    if unknown := [setting for setting in move if setting not in known]:
        raise ConfigError(f"--move {unknown[0]}: it drops nothing in this dataset; there are {', '.join(known)}")
    found = [known[setting] for setting in (move or [name for name in known if name not in FIXED])]
    if not found:
        raise ConfigError("no threshold of this dataset can be moved: none has judged a clip")
    return found
