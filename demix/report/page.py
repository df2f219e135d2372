"""The page: one HTML file that needs nothing else, made of `Statistics` and a gallery."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from demix.records import SUBSETS
from demix.report import html, paper, plots, words
from demix.report.clip_files import ClipFiles
from demix.report.count import TRAITS
from demix.report.gallery import Gallery, make_gallery
from demix.report.manifests import Manifests
from demix.report.statistics import Statistics, measure
from demix.store import Place, Store

TEMPLATES = Path(__file__).parent / "templates"
PAGE, NUMBERS = "report/index.html", "report/report.json"
SHOWN_SOURCES = 60
"""Rows of the table of sources on the page; report.json has them all."""


def write_report(
    dataset: Place,
    *,
    work: Place | None = None,
    timings: Sequence[Mapping[str, Any]] = (),
    samples_per_group: int = 3,
    page_megabytes: float = 25.0,
) -> str:
    """Writes report/index.html and report/report.json of a dataset from its manifests; returns the page's address.

    `work` is the work store, if it is still there: media of dropped clips can be shown from it only. Without
    `timings` those of an earlier report.json are kept. Raises `ReportError` if the folder holds no dataset.
    """
    manifests = Manifests(dataset)
    statistics = measure([manifests], timings or _earlier_timings(manifests.dataset))
    gallery = make_gallery(
        [manifests], [ClipFiles(manifests.dataset, work)], samples_per_group, page_megabytes * 1e6 - 1e6
    )
    return write_page(manifests.dataset, statistics, gallery)


def merge_reports(datasets: Sequence[Place], output: Place, *, samples_per_group: int = 3) -> str:
    """One page about several datasets together, below `output`; its numbers are counted anew from all manifests."""
    manifests = [Manifests(dataset) for dataset in datasets]
    files = [ClipFiles(dataset) for dataset in datasets]
    return write_page(Store.at(output), measure(manifests), make_gallery(manifests, files, samples_per_group, 24e6))


def write_page(place: Store, statistics: Statistics, gallery: Gallery) -> str:
    with place.write(NUMBERS) as path:
        path.write_text(statistics.model_dump_json(indent=1) + "\n", encoding="utf-8")
    with place.write(PAGE) as path:
        path.write_text(render(statistics, gallery), encoding="utf-8")
    return place.address(PAGE)


def render(statistics: Statistics, gallery: Gallery) -> str:
    """The page as text. Whatever strangers named is escaped by Jinja, and could not run: the page's policy allows its
    one script and its one style by their hashes, media inside the page, and nothing else."""
    filters = (
        words.words,
        words.visible,
        words.nickname,
        words.count,
        words.short,
        words.duration,
        words.clock,
        words.percent,
        words.number,
        data_uri,
    )
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    return html.template(TEMPLATES / "page.html", filters).render(
        statistics=statistics,
        gallery=gallery,
        plots=plots,
        paper=paper,
        SUBSETS=SUBSETS,
        TRAITS=TRAITS,
        SHOWN_SOURCES=SHOWN_SOURCES,
        policy=html.policy(html.STYLE, script, "img-src data:; media-src data:"),
        style=Markup(html.STYLE),
        script=Markup(script),
        thresholds=html.embedded(_thresholds(statistics)),
    )


def data_uri(data: bytes, kind: str) -> Markup:
    return Markup("data:{};base64,{}").format(kind, base64.b64encode(data).decode())


def _thresholds(statistics: Statistics) -> dict[str, object]:
    """What the sliders count with: the histograms of the scores that a setting judges."""
    return {
        score.key: {
            "edges": score.histogram.edges,
            "kept": score.histogram.kept,
            "others": score.histogram.others,
            "keeps": score.rules[0].keeps,
        }
        for score in statistics.scores
        if score.rules
    }


def _earlier_timings(dataset: Store) -> list[dict[str, Any]]:
    return list(json.loads(dataset.read(NUMBERS)).get("timings", [])) if dataset.exists(NUMBERS) else []
