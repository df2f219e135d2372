"""Guards: help needs no third-party package; commands print what they promise and end with the right status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from demix.config import ConfigError
from mtv_train.cli import main, parser
from mtv_train.distributed.ranks import check_ranks, workable
from mtv_train.recipes import load


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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--gpus", "64"),
            "optim.batch=24 cannot be dealt evenly to 64 ranks; with these settings these numbers",
        ),
        (("--gpus", "0"), "0 ranks: there must be one at least"),
        (("--gpus", "-8"), "there must be one at least"),
        (("--gpus", "24", "--set", "parallel.micro_batch=2"), "does not divide a rank's 1 samples a step"),
        (("--gpus", "24", "--set", "parallel.replicate=5"), "parallel.replicate=5 does not divide 24 ranks"),
        (("--mfu", "0"), "--mfu 0: give a number above 0"),
        (("--mfu", "40"), "for 40 % give 0.4"),
        (("--mfu", "nan"), "--mfu nan: give a number above 0"),
        (("--peak", "inf"), "--peak inf: give a number above 0"),
        (("--peak", "-1"), "--peak -1: give a number above 0"),
    ],
)
def test_plan_refuses_what_train_would(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert main(["plan", "mtv_5b", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_plan_and_train_share_a_rule() -> None:
    for batch, micro, replicate in ((24, 1, 1), (24, 2, 1), (24, 2, 3), (32, 4, 2), (7, 1, 1)):
        settings = load(
            "mtv_5b", None, [f"optim.batch={batch}", f"parallel={{micro_batch: {micro}, replicate: {replicate}}}"]
        )
        for ranks in range(1, 70):
            fits = ranks % replicate == 0 and batch % ranks == 0 and batch // ranks % micro == 0
            assert (ranks in workable(settings)) == fits
            if not fits:
                with pytest.raises(ConfigError, match="these numbers work") as raised:
                    check_ranks(settings, ranks)
                if "optim.batch=" in str(raised.value).rpartition(";")[2]:
                    larger = int(str(raised.value).rpartition("optim.batch=")[2].split()[0])
                    check_ranks(load("mtv_5b", None, [f"optim.batch={larger}", f"parallel.micro_batch={micro}"]), ranks)


def test_plan_chooses_what_works_where_none_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "mtv_5b"]) == 0
    assert "days on 24 GPUs" in capsys.readouterr().out
    assert main(["plan", "mtv_5b", "--set", "optim.batch=20"]) == 0
    assert "days on 20 GPUs" in capsys.readouterr().out
