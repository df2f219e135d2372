"""The page: one HTML file that needs nothing else, in the style of the dataset report."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from demix.report import html
from demix.store import atomic
from mtv_train.evaluate import paper, table
from mtv_train.evaluate.result import ColumnResult, Evaluation, SetResult

TEMPLATES = Path(__file__).parent / "templates"
PAGE, NUMBERS, TABLE = "index.html", "evaluation.json", "table.md"


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Writes the page, the Markdown table and every number into `folder`; returns the page's path."""
    contents = {
        NUMBERS: evaluation.model_dump_json(indent=1) + "\n",
        TABLE: table.markdown(evaluation),
        PAGE: render(evaluation),
    }
    for name, content in contents.items():
        with atomic(folder / name) as path:
            path.write_text(content, encoding="utf-8")
    return folder / PAGE


def render(evaluation: Evaluation) -> str:
    """The page as text. It holds no script, and its policy allows nothing but its own style, by its hash."""
    return html.template(TEMPLATES / "evaluation.html").render(
        evaluation=evaluation,
        columns=table.shown_columns(evaluation),
        paper=paper,
        number=table.number,
        arrows=table.ARROWS,
        dots=dots,
        policy=html.policy(html.STYLE),
        style=Markup(html.STYLE),
    )


def dots(result: SetResult, column: ColumnResult) -> Markup:
    """Every video's value as a dot on a line from the least to the greatest, and the mean as a stroke."""
    values = [video.values[column.key] for video in result.videos if column.key in video.values]
    if column.value is None or not values:
        return Markup("")
    low, high = min(values), max(values)
    spread = (high - low) or 1.0
    circle = Markup('<circle class="join" cx="{:.2f}" cy="10" r="2.5" fill="currentColor" fill-opacity=".45"/>')
    drawn = Markup("").join(circle.format(5 + 190 * (value - low) / spread) for value in sorted(values))
    mean = Markup('<line class="threshold" stroke="currentColor" x1="{0:.2f}" x2="{0:.2f}" y1="2" y2="18"/>')
    label = Markup("{} videos from {:.3g} to {:.3g}").format(len(values), low, high)
    return Markup('<svg viewBox="0 0 200 20" role="img" aria-label="{}">{}{}</svg>').format(
        label, drawn, mean.format(5 + 190 * (column.value - low) / spread)
    )
