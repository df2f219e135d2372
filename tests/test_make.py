"""Guards: what the README promises of `make demo` and `make train-demo`, run as a person runs them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import av
import pytest

from mtv_train.recipes import load

ROOT = Path(__file__).parents[1]


def make(target: str, demo: Path) -> str:
    """The end of what it printed; fails with it where it failed."""
    done = subprocess.run(
        ["make", target, f"DEMO={demo}"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_is_built_and_trained_on_in_all_five_stages(tmp_path: Path) -> None:
    said = make("demo", tmp_path)
    assert f"open {tmp_path}/dataset/report/index.html" in said
    report = json.loads((tmp_path / "dataset/report/report.json").read_text())
    assert all(row["train"]["clips"] for row in report["subsets"]), report["subsets"]
    assert len(report["subsets"]) == 5

    make("train-demo", tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    stages = load("tiny").stages
    assert list(dict.fromkeys(row["stage"] for row in rows)) == list(stages)
    assert rows[-1]["step"] == sum(stage.steps for stage in stages.values())
    assert (tmp_path / "run/loss.png").stat().st_size > 10_000
    for film in (tmp_path / "run/validation").glob("*.mp4"):
        with av.open(str(film)) as container:
            assert [stream.type for stream in container.streams] == ["video", "audio"]
    assert list((tmp_path / "run/validation").glob("*.mp4"))
