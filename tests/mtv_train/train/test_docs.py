"""Every command that docs/train.md shows does what the page says, on tiny data; its table says what the code does."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from torch.distributed import run as torchrun

from mtv_train.cli import EPILOG, main, parser
from mtv_train.commands.train import settings_of
from mtv_train.data.samples import Slice
from mtv_train.recipes import load
from tests.mtv_train.datasets import TinyClip, write_tars
from tests.mtv_train.train.ranks import in_ranks

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/train.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"```\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines() if line.strip()
]
SHORT = ("optim.warmup_steps=0", "validation.steps=2", *(f"stages.{name}.steps=1" for name in load("tiny").stages))
"""What makes a tiny run a very short one."""
SUBSETS = (("basic_face", "single_character"), ("sound_event",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    write_tars(folder / "DATASET", [TinyClip(number, subsets=SUBSETS[number % 2]) for number in range(4)])
    return folder


@pytest.fixture(autouse=True)
def _there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def words(line: str) -> list[str]:
    """The arguments of one of our commands."""
    return shlex.split(line.partition(" > ")[0].removeprefix("python -m mtv_train "))


def run(*arguments: str) -> int:
    short = [word for text in SHORT for word in ("--set", text)] if arguments[0] == "train" else []
    sequential = ["--runner", "sequential"] if arguments[0] == "precompute" else []
    status: list[int] = in_ranks(1, main, [*arguments, *short, *sequential])  # training joins a group of one rank
    return status[0]


def test_every_command_of_the_page_is_run_or_checked() -> None:
    kinds = [line.split()[0] if "mtv_train " not in line else words(line)[0] for line in COMMANDS]
    assert " ".join(kinds) == (
        "train inspect export plan show torchrun precompute precompute train sbatch python train train export "
        "convert-sat"
    )


@pytest.mark.slow
def test_the_commands_of_a_run_from_the_first_step_to_a_model(folder: Path) -> None:
    """As they stand on the page, one after the other; then training on a cache has the losses of training without."""
    ours = [line for line in COMMANDS if words(line)[0] in ("train", "inspect", "export", "precompute", "show", "plan")]
    assert len(ours) == 11
    for line in ours:
        assert run(*words(line)) == 0, line
    assert (folder / "RUNS/x/loss.png").read_bytes().startswith(b"\x89PNG")
    assert list((folder / "RUNS/x/validation").glob("*.mp4"))
    assert {"config.json", "diffusion_pytorch_model.safetensors"} <= {path.name for path in (folder / "OUT").rglob("*")}
    raw, cached = ((folder / f"RUNS/{name}/metrics.jsonl").read_text().splitlines() for name in "xz")
    assert [re.findall(r'"loss": [\d.]+', row) for row in raw] == [re.findall(r'"loss": [\d.]+', row) for row in cached]
    assert len(raw) == 3


@pytest.mark.slow
def test_torchrun_trains_on_two_ranks(folder: Path) -> None:
    (line,) = (line for line in COMMANDS if line.startswith("torchrun"))
    asked = shlex.split(line.replace("--nproc-per-node 8", "--nproc-per-node 2").replace("mine.yaml", "tiny"))
    short = [word for text in SHORT for word in ("--set", text)]
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        *asked[1:],
        "--skip-empty-stages",
        "--device",
        "cpu",
        *short,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "3 steps, 12 samples" in done.stdout


def test_torchrun_leaves_our_options_alone() -> None:
    """Without the `--` it takes `--run` for a beginning of its own `--run-path`."""
    lines = [line for line in (TEXT + EPILOG).splitlines() if line.strip().startswith("torchrun ")]
    assert len(lines) == 2
    for line in lines:
        parsed = torchrun.parse_args(shlex.split(line)[1:])
        assert parsed.module
        assert parsed.training_script == "mtv_train"
        assert parsed.training_script_args == shlex.split(line.partition(" mtv_train ")[2])


def test_what_needs_a_cluster_or_weights_is_at_least_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    (batch,) = (shlex.split(line) for line in COMMANDS if line.startswith("sbatch"))
    script = next(ROOT / word for word in batch if word.endswith(".sbatch"))
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    asked = batch[[word.endswith(".sbatch") for word in batch].index(True) + 1 :]
    assert '-m -- mtv_train train "$@"' in script.read_text()
    assert settings_of(parser().parse_args(["train", *asked])).total_steps == 200_000
    (ray,) = (shlex.split(line) for line in COMMANDS if line.startswith("python pipelines"))
    done = subprocess.run([sys.executable, str(ROOT / ray[1]), "--help"], capture_output=True, text=True, check=True)
    assert all(word in done.stdout for word in ray if word.startswith("--"))
    (convert,) = (words(line) for line in COMMANDS if "convert-sat" in line)
    assert parser().parse_args(convert).out == Path("OUT")  # what it does: tests/mtv_train/convert


def test_the_worked_table_is_what_the_loader_does() -> None:
    rows = re.findall(
        r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| ([\d ]+) \| ([\d ]+) \| ([\d ]+) \|$", TEXT, re.MULTILINE
    )
    assert len(rows) == 7
    for world, batch, start, rank, *steps in rows:
        place = Slice(int(batch), int(rank), int(world), int(start))
        taken = iter(range(3 * place.share))
        for step in steps:
            assert [int(k) for k in step.split()] == [place.k(next(taken)) for _ in range(place.share)]


def test_settings_on_the_page_exist() -> None:
    settings = load("tiny")
    names = set(re.findall(r"`((?:data|model|optim|parallel)\.[\w.]+)[=`]", TEXT))
    assert len(names) >= 8
    for name in names:
        found: object = settings
        for part in name.split("."):
            found = getattr(found, part)
