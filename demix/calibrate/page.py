"""The page of thresholds: every score's distribution, and what each value of a threshold would keep of each subset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup

from demix.calibrate.columns import Column, Columns
from demix.records import SUBSETS, Subset
from demix.report import html, plots, words
from demix.report.manifests import Manifests
from demix.report.statistics import Score, measure

PAGE = "report/thresholds.html"
TEMPLATES = Path(__file__).parent / "templates"
ROWS = 9
"""Values shown of each threshold, besides its own."""


@dataclass(frozen=True)
class Row:
    """What one value of a threshold passes, of the clips that it judges."""

    threshold: float
    current: bool
    passing: int
    """Of all clips judged, whatever became of them."""
    subsets: dict[Subset, int]
    """Of the clips in the dataset, by subset: those that would stay."""


@dataclass(frozen=True)
class Table:
    column: Column
    rows: tuple[Row, ...]


def write_page(manifests: Manifests, columns: Columns) -> str:
    """Writes the page beside the dataset's report; returns its address."""
    members = _members(manifests, columns)
    tables = tuple(Table(column, tuple(_rows(column, members))) for column in columns.columns)
    with manifests.dataset.write(PAGE) as aside:
        aside.write_text(render(manifests.dataset.name, measure([manifests]).scores, tables), encoding="utf-8")
    return manifests.dataset.address(PAGE)


def render(name: str, scores: Sequence[Score], tables: Sequence[Table]) -> str:
    """The page as text; it runs nothing, and its policy forbids whatever strangers' names might want to."""
    filters = (words.words, words.visible, words.nickname, words.count, words.number)
    return html.template(TEMPLATES / "thresholds.html", filters).render(
        name=name,
        scores=scores,
        tables=tables,
        plots=plots,
        SUBSETS=SUBSETS,
        policy=html.policy(html.STYLE),
        style=Markup(html.STYLE),
    )


def _members(manifests: Manifests, columns: Columns) -> dict[Subset, np.ndarray]:
    """Subset -> boolean over the columns' clips: those of the dataset that are in it."""
    signatures = {clip.id: clip.signature.split("+") for clip in manifests.clips() if clip.outcome == "kept"}
    return {subset: np.array([subset in signatures.get(name, ()) for name in columns.ids], bool) for subset in SUBSETS}


def _rows(column: Column, members: dict[Subset, np.ndarray]) -> list[Row]:
    """From loose to strict: evenly spaced shares of what is judged, and the threshold of now among them."""
    shares = np.linspace(0, 0.8, ROWS)
    values = {column.neater(column.losing(float(share))) for share in shares} | {column.threshold}
    rows = []
    for value in sorted(values, reverse=column.keeps == "at_most"):
        passing = column.passes(value)
        subsets = {subset: int((passing & there).sum()) for subset, there in members.items()}
        rows.append(Row(value, value == column.threshold, int(passing[column.judged].sum()), subsets))
    return rows
