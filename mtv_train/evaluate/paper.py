"""What the MTV paper publishes, to stand beside our numbers: table 2, and what it says of table 3."""

from __future__ import annotations

from dataclasses import dataclass

VIDEOS = 50
"""Drawn at random from the test set; the paper does not say which."""

COLUMNS = ("fvd", "temp_c", "text_c", "audio_c", "sync_c", "sync_d")


@dataclass(frozen=True)
class Row:
    method: str
    group: str
    values: dict[str, float]


def _row(method: str, group: str, *values: float) -> Row:
    return Row(method, group, dict(zip(COLUMNS, values, strict=True)))


_COMPARED, _ABLATION = "comparison", "ablation"

TABLE_2: tuple[Row, ...] = (
    _row("MM-Diffusion", _COMPARED, 879.77, 94.15, 15.61, 5.43, 1.53, 11.21),
    _row("TempoTokens", _COMPARED, 795.88, 93.13, 24.68, 6.71, 1.45, 10.48),
    _row("Xing et al.", _COMPARED, 805.23, 93.30, 24.51, 7.30, 1.55, 10.50),
    _row("MTV", _COMPARED, 626.06, 95.40, 26.55, 26.22, 3.17, 9.43),
    _row("W/o SE", _ABLATION, 667.81, 95.30, 26.49, 24.68, 2.46, 9.55),
    _row("W/o SI", _ABLATION, 626.46, 94.84, 25.50, 19.64, 2.53, 9.76),
    _row("W/o TB", _ABLATION, 698.36, 95.14, 26.37, 24.50, 2.31, 9.78),
)

TABLE_3 = (
    "The paper's table 3 (AV-Align) finds real videos to score lowest of all, below every method, and warns against "
    "the metric for films (section 7.2). It does not say which of the two published versions it used."
)
