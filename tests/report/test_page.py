"""The page as text: self-contained, and safe whatever strangers call their films."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.dataset import layout
from demix.dataset.schema import write_rows
from demix.report import merge_reports, write_report
from demix.report.html import embedded
from demix.report.manifests import Manifests
from demix.report.statistics import Statistics, measure
from tests.report.fake import Fake, timings


class Addresses(HTMLParser):
    """Collects every attribute that a browser would load or follow."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        loading = ("src", "srcset", "href", "xlink:href", "poster", "data", "action", "formaction", "background")
        self.all += [value or "" for name, value in attrs if name in loading]


def test_nothing_is_loaded_from_elsewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = Addresses()
    found.feed(text)
    assert len(found.all) > 20
    assert [address for address in found.all if not address.startswith(("data:", "#"))] == []
    assert "url(" not in text
    assert "@import" not in text


def test_the_policy_names_exactly_the_pages_own_script_and_style(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    allowed = policy[1].replace("&#39;", "'")
    assert allowed.startswith("default-src 'none'; ")
    assert "unsafe" not in allowed
    assert "http" not in allowed
    for tag in ("style", "script"):
        [body] = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in allowed


def test_hostile_names_are_escaped_and_secrets_are_left_out(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "&lt;/script&gt;&lt;script&gt;document.title" in text
    assert "<img src=x" not in text
    assert "secret" not in text
    assert "\u202e" not in text
    assert "‹U+202E›" in text


@given(st.recursive(st.text() | st.floats(allow_nan=False), lambda inner: st.dictionaries(st.text(), inner)))
def test_embedded_json_cannot_leave_its_element(value: object) -> None:
    text = str(embedded(value))
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_report_json_lies_beside_the_page(page: Path) -> None:
    statistics = Statistics.model_validate_json((page.parent / "report.json").read_text(encoding="utf-8"))
    assert f"{statistics.kept.clips} clips with speech, effects and music apart" in " ".join(page.read_text().split())


def test_made_twice_it_is_the_same_page(fake: Fake, page: Path) -> None:
    first = page.read_bytes()
    again = write_report(fake.dataset, work=fake.work, timings=timings(), samples_per_group=1)
    assert Path(again).read_bytes() == first


def test_without_the_work_store_and_times_it_is_made_from_the_manifests(fake: Fake, page: Path, tmp_path: Path) -> None:
    """Times that only the work store knew are kept from the earlier report."""
    dataset = shutil.copytree(fake.dataset, tmp_path / fake.dataset.name)
    again = Path(write_report(dataset, samples_per_group=1))
    assert (again.parent / "report.json").read_bytes() == (page.parent / "report.json").read_bytes()
    assert "<video" not in again.read_text(encoding="utf-8")


def test_the_page_stays_below_its_limit(fake: Fake, tmp_path: Path) -> None:
    dataset = shutil.copytree(fake.dataset, tmp_path / "dataset")
    limit = 1.3
    page = Path(write_report(dataset, work=fake.work, samples_per_group=2, page_megabytes=limit))
    assert page.stat().st_size <= limit * 1e6
    assert "Shown as a picture only" in page.read_text(encoding="utf-8")


def test_the_kinds_of_black_bars_are_shown(fake: Fake, page: Path) -> None:
    assert measure([Manifests(fake.dataset)]).bars == {"letterbox": 9}
    assert "Black bars: letterbox in 9 of 9 films that were measured." in page.read_text()


def test_contradictions_are_shown(fake: Fake, tmp_path: Path) -> None:
    dataset = shutil.copytree(fake.dataset, tmp_path / "dataset")
    shutil.rmtree(dataset / "manifests" / "rejects" / "voice_over")
    assert 'role="alert"' in Path(write_report(dataset, samples_per_group=0)).read_text(encoding="utf-8")


def test_several_datasets_make_one_page(fake: Fake, tmp_path: Path) -> None:
    other = shutil.copytree(fake.dataset, tmp_path / "other")
    page = Path(merge_reports([fake.dataset, other], tmp_path / "both", samples_per_group=1))
    assert page == tmp_path / "both" / "report" / "index.html"
    statistics = Statistics.model_validate_json((page.parent / "report.json").read_text(encoding="utf-8"))
    assert statistics.name == "harbour-demo + other"
    assert statistics.indexed.clips == 2 * fake.ends.total()


@pytest.mark.parametrize("samples", [0, 1])
def test_a_dataset_without_kept_clips_has_a_page(fake: Fake, tmp_path: Path, samples: int) -> None:
    dataset = shutil.copytree(fake.dataset, tmp_path / "dataset")
    write_rows(dataset / layout.CLIPS, "clips", [])
    assert "Overview" in Path(write_report(dataset, samples_per_group=samples)).read_text(encoding="utf-8")
