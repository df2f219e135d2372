"""A long video that is ended half way goes on where it was, and comes out the same, to the byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from demix.config import ConfigError
from demix.engine.lock import held
from mtv_train.sample.device import Place
from mtv_train.sample.kept_windows import KeptWindows, kept_beside
from mtv_train.sample.request import Request
from tests.mtv_train.sample.making import sample, write_picture, write_tone

SIZE: dict[str, Any] = {"frames": 9, "height": 32, "width": 32, "steps": 2}


class Ended(Exception):
    """Stands for whatever ends a call."""


def ended_at(step: int) -> Callable[..., None]:
    def told(done: int, _total: int, _latents: Any) -> None:
        if done == step:
            raise Ended

    return told


def request(folder: Path, handover: str = "latents") -> Request:
    """1 s in windows of 9 frames of which 4 are new: five of them, and a picture in the third."""
    write_tone(folder / "s.wav", 1.0)
    write_picture(folder / "a.png")
    return Request(
        prompt="A street.",
        speech=str(folder / "s.wav"),
        keyframes={12: str(folder / "a.png")},
        long=True,
        joining={"handover": handover},
        **SIZE,
    )


@pytest.mark.parametrize("handover", ["latents", "pictures"])
def test_a_call_that_was_ended_is_gone_on_with(model: Path, tmp_path: Path, handover: str) -> None:
    maker, asked = Place("cpu").load(model), request(tmp_path, handover)
    maker.make(asked, tmp_path / "whole.mp4")
    out, folder = tmp_path / "out.mp4", tmp_path / "out.mp4.windows"
    steps: list[int] = []
    for end, kept in ((6, 2), (5, 2), (10, 4)):
        with pytest.raises(Ended):
            maker.make(asked, out, ended_at(end))
        assert len(list(folder.glob("*.safetensors"))) == kept
        assert not out.exists()
    note = maker.make(asked, out, lambda done, *_: steps.append(done))
    assert steps == [9, 10]
    assert out.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert note == json.loads((tmp_path / "whole.json").read_text())
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("out")) == ["out.json", "out.mp4"]


def test_damaged_and_other_windows_are_sampled_again(model: Path, tmp_path: Path) -> None:
    maker, asked = Place("cpu").load(model), request(tmp_path)
    out, folder = tmp_path / "out.mp4", tmp_path / "out.mp4.windows"
    with pytest.raises(Ended):
        maker.make(asked, out, ended_at(8))
    (folder / "00001.safetensors").write_bytes(b"broken off")
    steps: list[int] = []
    maker.make(asked, out, lambda done, *_: steps.append(done))
    assert steps[0] == 3  # the third step is the second window's first
    first = out.read_bytes()
    with pytest.raises(Ended):
        maker.make(asked, out, ended_at(8))
    steps.clear()
    maker.make(asked.model_copy(update={"seed": 1}), out, lambda done, *_: steps.append(done))
    assert steps[0] == 1
    assert out.read_bytes() != first
    with pytest.raises(Ended):
        maker.make(asked, tmp_path / "not.mp4", ended_at(8), keep=False)
    assert not (tmp_path / "not.mp4.windows").exists()


def test_two_calls_do_not_make_one_film(tmp_path: Path) -> None:
    film = tmp_path / "out.mp4"
    with (
        held(tmp_path / "out.mp4.windows", "sampling"),
        pytest.raises(ConfigError, match="another sampling works here"),
        kept_beside(film, {}),
    ):
        pass
    with kept_beside(film, {}) as kept:
        generator = torch.Generator().manual_seed(3)
        kept.write(0, torch.ones(1, 2), generator)
        again = KeptWindows(kept.folder, {})
        assert again.count == 1
        assert again.read(0, other := torch.Generator()).tolist() == [[1, 1]]
        assert torch.equal(torch.randn(3, generator=other), torch.randn(3, generator=generator))
        assert KeptWindows(kept.folder, {"seed": 1}).count == 0
    assert not kept.folder.exists()


@pytest.mark.slow
def test_killed_in_earnest(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Slow: a process that samples is killed after its second window, and while it writes the film."""
    write_tone(tmp_path / "s.wav", 2.0)
    size = [f"--{name}={value}" for name, value in SIZE.items()]
    asked = [str(model), "--prompt", "x", "--speech", str(tmp_path / "s.wav"), "--long", *size]
    out, folder = tmp_path / "out.mp4", tmp_path / "out.mp4.windows"
    command = [sys.executable, "-m", "mtv_train", "sample", *asked, "-o", str(out)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ) as process:
        end = time.monotonic() + 120
        while not (folder / "00003.safetensors").exists():
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not out.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"s.wav", "out.mp4.windows"}  # no film that nobody removes
    assert sample(*asked, "-o", out) == 0
    assert "steps are kept from a call that ended early" in capsys.readouterr().err
    assert sample(*asked, "-o", tmp_path / "whole.mp4") == 0
    assert out.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert {path.name for path in tmp_path.glob("*out*")} == {"out.mp4", "out.json"}
