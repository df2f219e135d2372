"""Diarization error rate against RTTM reference files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

Segment = tuple[float, float, str]
"""Start and end in seconds, and who speaks."""

STEP = 0.01


def read_rttm(path: Path) -> list[Segment]:
    """The SPEAKER lines of an RTTM file (which should hold one recording)."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return [(float(row[3]), float(row[3]) + float(row[4]), row[7]) for row in rows if row and row[0] == "SPEAKER"]


def error_rate(reference: Sequence[Segment], answer: Sequence[Segment], collar: float = 0.0) -> float:
    """(missed + false + confused speaker time) / reference speaker time, under the best one-to-one naming of speakers.

    Time within `collar` seconds of a reference boundary is not judged. Overlapping speech is judged. Sampled every
    10 ms. Raises `ValueError` when nothing is left to judge.
    """
    length = round(max(end for _, end, _ in [*reference, *answer]) / STEP) + 1
    judged = np.ones(length, bool)
    for start, end, _ in reference:
        for edge in (start, end):
            judged[max(round((edge - collar) / STEP), 0) : round((edge + collar) / STEP)] &= collar == 0
    truth, guess = _activity(reference, length)[:, judged], _activity(answer, length)[:, judged]
    total = truth.sum()
    if not total:
        raise ValueError("the reference holds no speech to judge")
    together = truth.astype(int) @ guess.T.astype(int)
    rows, columns = linear_sum_assignment(together, maximize=True)
    wanted = np.maximum(truth.sum(0), guess.sum(0)).sum()
    return float((wanted - together[rows, columns].sum()) / total)


def _activity(segments: Sequence[Segment], length: int) -> np.ndarray:
    """Boolean (speakers, steps)."""
    names = sorted({name for _, _, name in segments})
    active = np.zeros((len(names), length), bool)
    for start, end, name in segments:
        active[names.index(name), round(start / STEP) : round(end / STEP)] = True
    return active
