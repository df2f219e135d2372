"""Small charts as inline SVG. Lengths are stretched by the page, so texts stay in HTML and readable on a phone.

Colours are classes of style.css, never values, so one drawing serves light and dark. Everything is escaped by
`Markup.format`; numbers in attributes are Python numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from demix.records import SUBSETS
from demix.report.histogram import Histogram

HEIGHT = 100.0
"""Of a histogram, in its own units."""


def bar(parts: Sequence[tuple[str, float]], label: str) -> Markup:
    """A horizontal bar of parts, (class, share of the whole width); `label` is read to those who cannot see."""
    drawn, x = Markup(""), 0.0
    for kind, share in parts:
        if share > 0:
            width = max(100 * share, 0.4)
            drawn += Markup('<rect class="{}" x="{:.3f}" y="0" width="{:.3f}" height="10"/>').format(kind, x, width)
            x += 100 * share
    return Markup(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<rect class="track" width="100" height="10"/>{}</svg>'
    ).format(label, drawn)


def bins(histogram: Histogram, threshold: float | None, label: str) -> Markup:
    """The columns of a histogram, kept clips below, all others on top, and the threshold's line.

    `data-bin` numbers the columns, so that the page's script can fade those that another threshold would lose.
    """
    count = len(histogram.kept)
    highest = max(map(sum, zip(histogram.kept, histogram.others, strict=True)))
    drawn = Markup("")
    for index, (kept, others) in enumerate(zip(histogram.kept, histogram.others, strict=True)):
        if kept + others:
            drawn += _column(index, HEIGHT * kept / highest, HEIGHT * others / highest)
    line = Markup("")
    if threshold is not None:
        x = histogram.edges.index(threshold)
        line = Markup('<line class="threshold" x1="{0}" x2="{0}" y1="0" y2="{1:g}"/>').format(x, HEIGHT)
    return Markup(
        '<svg class="bins" viewBox="0 0 {} {:g}" preserveAspectRatio="none" role="img" aria-label="{}">{}{}</svg>'
    ).format(count, HEIGHT, label, drawn, line)


def _column(index: int, kept: float, others: float) -> Markup:
    return Markup(
        '<g data-bin="{0}"><rect class="kept" x="{1:g}" y="{2:.2f}" width=".84" height="{3:.2f}"/>'
        '<rect class="others" x="{1:g}" y="{4:.2f}" width=".84" height="{5:.2f}"/></g>'
    ).format(index, index + 0.08, HEIGHT - kept, kept, HEIGHT - kept - others, others)


def dots(subsets: Sequence[str]) -> Markup:
    """One row of an UpSet chart: a dot per subset, filled and joined where the combination holds it."""
    held = [index for index, subset in enumerate(SUBSETS) if subset in subsets]
    circle = Markup('<circle class="{}" cx="{}" cy="10" r="6"/>')
    drawn = Markup("").join(circle.format("absent", 10 + 20 * index) for index in range(len(SUBSETS)))
    if held:
        join = Markup('<line class="join" x1="{}" x2="{}" y1="10" y2="10"/>')
        drawn += join.format(10 + 20 * held[0], 10 + 20 * held[-1])
    drawn += Markup("").join(circle.format(SUBSETS[index], 10 + 20 * index) for index in held)
    return Markup('<svg class="dots" viewBox="0 0 100 20" aria-hidden="true">{}</svg>').format(drawn)


def waveform(peaks: Sequence[float], kind: str) -> Markup:
    """A stem's loudness over time; `kind` colours it. The square root shows quiet passages, too."""
    drawn = "".join(
        f"M{index + 0.5:g} {20 - height:.1f}v{2 * height:.1f}"
        for index, height in enumerate(max(0.6, 19 * peak**0.5) for peak in peaks)
    )
    return Markup(
        '<svg class="wave {}" viewBox="0 0 {} 40" preserveAspectRatio="none" aria-hidden="true">'
        '<path d="{}"/><rect class="played" width="0" height="40"/></svg>'
    ).format(kind, len(peaks), drawn)
