"""Every command that docs/evaluate.md shows does what the page says, on tiny data and with tiny networks."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from demix import weights
from demix.store import Store
from mtv_train.evaluate.result import Evaluation
from mtv_train.evaluate.suite import METRICS
from tests.dataset.making import Maker, build
from tests.mtv_train.evaluate.making import run

PAGE = Path(__file__).parents[3] / "docs/evaluate.md"
TEXT = PAGE.read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"```\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines() if line.strip()
]
OURS = [line.removeprefix("python -m mtv_train ") for line in COMMANDS if line.startswith("python -m mtv_train ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, and two folders of videos (some of its clips)."""
    folder = tmp_path_factory.mktemp("docs")
    maker = Maker(Store(folder / "work"), folder)
    build(maker.samples(), maker, folder / "DATASET")
    for name in ("OUT", "DIR2"):
        (folder / name).mkdir()
        for index in range(2):
            shutil.copy(folder / "clip.mp4", folder / name / f"{index}.mp4")
            (folder / name / f"{index}.txt").write_text("A test picture.", encoding="utf-8")
    return folder


@pytest.mark.parametrize("command", OURS)
def test_commands(
    folder: Path, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    name, *arguments = shlex.split(command)
    if name == "protocol":
        arguments = arguments[: arguments.index(">")]
        # The tiny test split has three short clips.
        assert run(name, *arguments, "--count", "3", "--frames", "12") == 0
        jobs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert len(jobs) == 3
        assert all(Path(job["speech"]).parent == folder / "protocol" for job in jobs)
        return
    assert run(name, *arguments, "--networks", "tiny", "--cache", "cache", "--set", "fvd.frames=10") == 0
    report = Path("report")
    assert {"index.html", "table.md", "evaluation.json"} <= {path.name for path in report.iterdir()}
    evaluation = Evaluation.model_validate_json((report / "evaluation.json").read_text(encoding="utf-8"))
    assert evaluation.published == ("--paper" in arguments)
    assert len(evaluation.sets) == (2 if "--compare" in arguments else 1)


def test_every_command_of_the_page_is_known() -> None:
    others = [line for line in COMMANDS if not line.startswith("python -m mtv_train ")]
    assert len(OURS) == 3
    assert others == ["demix weights fetch clip_vit_b32"]
    assert weights.find("clip_vit_b32").role == "metric"


def test_every_metric_and_every_licence_is_on_the_page() -> None:
    for name in METRICS:
        assert f"| `{name}`" in TEXT
    for entry in weights.entries().values():
        if entry.role == "metric":
            assert f"`{entry.name}`" in TEXT
            assert entry.licence in TEXT
