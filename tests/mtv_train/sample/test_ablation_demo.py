"""`make ablation-demo`: the three ablations and the full model are trained, sampled and scored by one script."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from demix.store import Store
from mtv_train.config import TrainSettings
from mtv_train.recipes import load
from pipelines.ablation_demo import VARIANTS
from tests.dataset.making import Maker, build

ROOT = Path(__file__).parents[3]


def _model(settings: TrainSettings) -> tuple[str, str, str]:
    return settings.model.mtv.extraction, settings.model.mtv.injection, settings.model.train_backbone


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "full"])
def test_variants_are_the_recipes(name: str) -> None:
    """What the script changes of the tiny recipe is what the recipe of that name changes of the 5B one."""
    assert _model(load("tiny", None, VARIANTS[name])) == _model(load(name))
    assert _model(load("tiny")) == _model(load("mtv_5b"))


@pytest.mark.slow
def test_from_end_to_end(tmp_path: Path) -> None:
    """Slow: fourteen commands, each a process."""
    maker = Maker(Store(tmp_path / "work"), tmp_path)
    build(maker.samples(), maker, tmp_path / "DATASET")
    sizes = ("--steps", "1", "--clips", "2", "--frames", "9", "--sampling-steps", "2")
    command = [sys.executable, str(ROOT / "pipelines/ablation_demo.py"), "--data", "DATASET", "--out", "out", *sizes]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in VARIANTS:
        assert name in done.stdout
        assert len(list((tmp_path / "out" / name / "videos").glob("*.mp4"))) == 2
    evaluation = json.loads((tmp_path / "out/report/evaluation.json").read_text())
    assert len(evaluation["sets"]) == len(VARIANTS)
