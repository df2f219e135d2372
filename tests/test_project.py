"""Guards what people who join the project are told: files that pages name exist, versions agree, workflows call us."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

import demix

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def test_citation_and_changelog_know_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == demix.__version__
    titles = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert titles[0] == "Unreleased"
    assert demix.__version__ in titles


def test_workflows_call_targets_and_scripts_that_exist() -> None:
    targets = set(re.findall(r"^([\w./()$-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    targets.add(".venv/.ready")  # written with the variable VENV
    for path in WORKFLOWS:
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
        lines = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
        assert lines, path
        for line in lines:
            program, *rest = line.split()
            if program == "make":
                assert set(rest) <= targets, line
            elif program.startswith("tests/"):
                assert (ROOT / program).is_file(), line


def test_the_plain_install_is_tried_on_every_python_that_is_promised() -> None:
    [pythons] = [
        job["strategy"]["matrix"]["python"]
        for path in WORKFLOWS
        for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
        if "strategy" in job
    ]
    [low, high] = re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text())[0]
    assert pythons == [f"3.{minor}" for minor in range(int(low), int(high))]
