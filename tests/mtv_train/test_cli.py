"""Guards: help needs no third-party package; commands print what they promise and end with the right status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mtv_train.cli import main, parser


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mtv_train.cli import parser; parser().format_help(); "
        "print([name for name in ('torch', 'pydantic', 'numpy', 'ray', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_is_there_and_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    text = parser().format_help()
    for name in ("train", "precompute", "plan", "show", "inspect", "export", "convert-sat", "evaluate"):
        assert name in text
        with pytest.raises(SystemExit) as ended:
            parser().parse_args([name, "--help"])
        assert ended.value.code == 0
    assert "--accept-changes" in capsys.readouterr().out


def test_show_prints_what_train_reads(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["show", "tiny", "--set", "optim.lr=0.25"]) == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["optim"]["lr"] == 0.25
    (tmp_path / "mine.yaml").write_text(printed)
    assert main(["show", str(tmp_path / "mine.yaml")]) == 0
    assert capsys.readouterr().out == printed


def test_show_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--reference"]) == 0
    text = capsys.readouterr().out
    assert "`optim.clip`" in text
    assert "`parallel.defer_reduce`" in text


def test_plan_counts_the_papers_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "mtv_5b", "--gpus", "24"]) == 0
    text = capsys.readouterr().out
    forward = next(line for line in text.splitlines() if line.startswith("forward"))
    assert float(forward.split()[-1]) == pytest.approx(388, rel=0.01)
    assert "1 GPU" in text
    assert "8 GPUs" in text
    assert "24 GPUs" in text
    assert "200,000 steps of 24 samples" in text
    assert "days on 24 GPUs" in text


def test_errors_name_the_remedy_and_end_with_two(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["train", "tiny", "--run", str(tmp_path), "--set", "optim.lrr=1"]) == 2
    assert "did you mean lr?" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path)]) == 2
    assert "not the folder of a run" in capsys.readouterr().err
    assert main(["export", str(tmp_path), str(tmp_path / "out")]) == 2
    assert "no committed checkpoint" in capsys.readouterr().err
    assert main(["convert-sat", str(tmp_path / "absent.pt"), str(tmp_path / "out")]) == 2
    assert "no such file" in capsys.readouterr().err
