"""Links lead somewhere, and the files, stages and settings that pages name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from demix.models import MODELS
from demix.recipe import BuildSettings, load_settings
from tests.docs.pages import PAGES, ROOT, blocks, name_of, prose

FOLDERS = ("benchmarks/", "cluster/", "demix/", "docs/", "pipelines/", "tests/", "mtv_train/")


def test_there_are_pages() -> None:
    assert len(PAGES) >= 9


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_to_files(page: Path) -> None:
    text = prose(page)
    targets = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)
    missing = [
        target
        for target in targets
        if not target.startswith(("http://", "https://", "#")) and not (page.parent / target.partition("#")[0]).exists()
    ]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_of_the_project_exist(page: Path) -> None:
    """Words in code style that begin with one of the project's folders."""
    named = re.findall(r"`([^`\s]+)`", prose(page))
    named += [word for block in blocks(page, "bash") for word in block.code.split()]
    paths = [word.partition(":")[0] for word in named if word.startswith(FOLDERS)]
    # The demo's folders and a placeholder such as <stage> are not in the checkout.
    missing = [path for path in paths if "<" not in path and not (ROOT / path).exists()]
    assert not missing


def test_the_settings_on_the_page_of_thresholds_exist_with_these_defaults() -> None:
    page = (ROOT / "docs/thresholds.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \| ([^|]*) \|", page, re.MULTILINE)
    assert len(rows) > 10
    for names, defaults in rows:
        values = [value(load_settings(), name) for name in re.findall(r"`([\w.]+)`", names)]
        stated = [float(text.replace("−", "-")) for text in re.findall(r"[−\d][\d.]*", defaults)]
        flat = [number for found in values for number in (found.values() if isinstance(found, dict) else (found,))]
        assert flat == stated or set(flat) == set(stated), names


def value(settings: BuildSettings, path: str) -> object:
    found: object = settings
    for part in path.split("."):
        found = getattr(found, part)
    return found


def test_the_limits_on_the_page_of_security_are_the_defaults() -> None:
    page = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    limits = load_settings().probe.limits
    units = {"h": 3600, "GiB": 1 << 30}
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", page, re.MULTILINE))
    assert set(rows) == set(type(limits).model_fields)
    for name, text in rows.items():
        numbers = [float(number) for number in re.findall(r"\d+", text)]
        product = numbers[0] * (numbers[1] if len(numbers) > 1 else 1)
        unit = next((factor for word, factor in units.items() if text.endswith(word)), 1)
        assert product * unit == getattr(limits, name), name


def test_the_page_of_models_names_every_model_under_its_role() -> None:
    """And none that does not exist: a row's first cell names the role, rows with an empty one continue it."""
    settings = {"demix_three": "demixing.three", "demix_two": "demixing.two", "captioning": "caption.model"}
    settings |= {"persons": "persons.persons", "faces": "persons.faces"}
    role_of = {settings.get(role, f"{role}.model"): role for role in MODELS}
    named: dict[str, set[str]] = {role: set() for role in MODELS}
    role = ""
    for first, second in re.findall(r"^\| ([^|]*)\| ([^|]*) \|", (ROOT / "docs/models.md").read_text(), re.MULTILINE):
        setting = re.search(r"`([\w.]+)`", first)
        role = role_of[setting[1]] if setting else role
        if role:
            named[role] |= set(re.findall(r"`(\w+)`", second))
    ours = {
        role: {name for name, place in known.items() if place.startswith("demix.")} for role, known in MODELS.items()
    }
    assert named == ours  # other tests of this process may have made models of their own known
