"""The table as Markdown: our methods with their intervals, the paper's beside them, and everything that is missing."""

from __future__ import annotations

from collections.abc import Sequence

from mtv_train.evaluate import paper
from mtv_train.evaluate.metric import Column
from mtv_train.evaluate.result import ColumnResult, Evaluation
from mtv_train.evaluate.suite import METRICS, metric_class

ARROWS = {"higher": "↑", "lower": "↓", "zero": "→ 0"}


def all_columns() -> list[Column]:
    """In the order of `METRICS`."""
    return [column for name in METRICS for column in metric_class(name).columns]


def shown_columns(evaluation: Evaluation) -> list[Column]:
    """Those that any method has, and with the paper beside them those of its table."""
    known = {column.key for result in evaluation.sets for column in result.columns}
    known |= set(paper.COLUMNS) if evaluation.published else set()
    return [column for column in all_columns() if column.key in known]


def number(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}"


def cell(result: ColumnResult | None) -> str:
    """`626.06 [590.12, 660.33]`, a dash for no value."""
    if result is None or result.value is None:
        return "–"
    text = number(result.value, result.decimals)
    if result.low is None or result.high is None:
        return text
    return f"{text} [{number(result.low, result.decimals)}, {number(result.high, result.decimals)}]"


def markdown(evaluation: Evaluation) -> str:
    columns = shown_columns(evaluation)
    lines = ["# Evaluation", ""]
    if evaluation.note:
        lines += [f"**{evaluation.note.capitalize()}.**", ""]
    lines += _table(evaluation, columns)
    lines += ["", "In brackets: 95 % bootstrap interval over the videos. Values of single videos: `evaluation.json`."]
    if evaluation.published:
        lines += [f"Published: table 2 of the paper, {paper.VIDEOS} videos. {paper.TABLE_3}"]
    if evaluation.reference:
        lines += ["", f"Real videos: {evaluation.reference}; {evaluation.real_videos} measured."]
    if evaluation.warnings:
        lines += ["", "## Warnings", "", *(f"- {warning}" for warning in evaluation.warnings)]
    lines += _failures(evaluation)
    lines += ["", f"Networks: {evaluation.networks}."]
    lines += [f"- {line}" for line in evaluation.weights]
    return "\n".join(lines) + "\n"


def _table(evaluation: Evaluation, columns: Sequence[Column]) -> list[str]:
    titles = [f"{column.title} {ARROWS[column.better]}" for column in columns]
    lines = [_line(["Method", *titles, "Videos"]), _line(["---", *["---:"] * (len(columns) + 1)])]
    for row in paper.TABLE_2 if evaluation.published else ():
        values = [number(row.values[c.key], c.decimals) if c.key in row.values else "–" for c in columns]
        lines.append(_line([f"{row.method} (published)", *values, str(paper.VIDEOS)]))
    for result in evaluation.sets:
        cells = [cell(result.column(column.key)) for column in columns]
        lines.append(_line([f"**{escaped(result.method)}**", *cells, str(len(result.videos))]))
    return lines


def _failures(evaluation: Evaluation) -> list[str]:
    lines = []
    for result in evaluation.sets:
        scored = {column.key: column.videos for column in result.columns}
        if not result.failures:
            continue
        counts = ", ".join(f"{key} {count}" for key, count in scored.items())
        lines += ["", f"## Not scored: {escaped(result.method)}", "", f"Videos behind each value: {counts}.", ""]
        lines += [f"- {escaped(video)}, {metric}: {escaped(why)}" for video, metric, why in result.failures]
    if evaluation.reference_failures:
        lines += ["", "## Real videos that could not be measured", ""]
        lines += [f"- {escaped(video)}: {escaped(why)}" for video, _, why in evaluation.reference_failures]
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def escaped(text: str) -> str:
    """A stranger's text (file names) without what Markdown would act on."""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return "".join(f"\\{letter}" if letter in "\\|*_`[]<>#" else letter for letter in plain)
