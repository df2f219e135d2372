"""Every command and the code that docs/sample.md shows do what the page says, on the tiny model."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mtv_train import cli
from mtv_train.sample.model_folder import load_pipeline
from mtv_train.sample.request import Request
from tests.mtv_train.sample.making import write_picture, write_tone

PAGE = Path(__file__).parents[3] / "docs/sample.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)
PLAIN = [line for language, block in BLOCKS if not language for line in block.splitlines() if line.strip()]
OURS = [line.removeprefix("python -m mtv_train ") for line in PLAIN if line.startswith("python -m mtv_train ")]
TINY = ("--steps", "1", "--frames", "25", "--height", "32", "--width", "32")


@pytest.fixture(scope="module")
def folder(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page speaks of: MODEL, sounds, pictures, jobs, and the sidecar of the first command."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "MODEL").symlink_to(model)
    for name in ("s", "e", "m", "mix", "other"):
        write_tone(folder / f"{name}.wav", 1.0)
    write_tone(folder / "speech.wav", 1.5)
    write_picture(folder / "a.png", 1)
    write_picture(folder / "b.png", 2)
    [job] = [line for line in PLAIN if line.startswith("{")]
    (folder / "jobs.jsonl").write_text(job)
    return folder


@pytest.mark.parametrize("command", [line for line in OURS if line.startswith("sample")])
def test_commands(folder: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    arguments = shlex.split(command)
    assert cli.main([*arguments, *TINY]) == 0
    written = folder / (arguments[-1] if "-o" in arguments else "OUT/first.mp4")
    assert written.stat().st_size > 0
    assert written.with_suffix(".json").is_file()


def test_every_command_of_the_page_is_known() -> None:
    others = [line for line in PLAIN if not line.startswith(("python -m mtv_train sample ", "{"))]
    assert others == ["python -m mtv_train studio MODEL --out OUT"]  # test_studio.py opens it
    assert cli.parser().parse_args(shlex.split(others[0])[3:]).call == "studio:run"


def test_the_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    load_pipeline(folder / "MODEL").save_pretrained(folder / "WHOLE")
    [code] = [block for language, block in BLOCKS if language == "python"]
    assert "manual_seed(0))" in code
    names: dict[str, object] = {}
    exec(code.replace("manual_seed(0))", "manual_seed(0), num_inference_steps=1)"), names)
    frames = names["frames"]
    assert isinstance(frames, list)
    assert len(frames[0]) == 9


def test_settings_that_the_page_names_are_there() -> None:
    for group, name in re.findall(r"`(joining|transition)\.(\w+)", TEXT):
        assert name in type(getattr(Request(), group)).model_fields
