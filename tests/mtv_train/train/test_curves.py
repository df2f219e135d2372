"""Curves go on where the run does: nothing of steps that are trained again stays. MFU is against the right peak."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensorboardX.proto import event_pb2

from mtv_train.config import LogSettings
from mtv_train.train.metrics import NotFinite, peak_of, peak_tflops, refuse_not_finite
from mtv_train.train.sinks import JsonLines, TensorBoard, WeightsAndBiases, read_metrics


def steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_rows_beyond_the_position_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = JsonLines(path, 0)
    for step in (10, 20, 30, 40):
        first.write(step, {"loss": float(step)})
    first.close()
    with path.open("a") as file:
        file.write('{"step": 50, "lo')  # killed while it wrote
    again = JsonLines(path, 20)
    again.write(25, {"loss": 1.0})
    again.close()
    assert steps(tmp_path) == [10, 20, 25]
    assert [row["step"] for row in read_metrics(tmp_path)] == [10, 20, 25]
    JsonLines(path, 0).close()
    assert steps(tmp_path) == []


def events(folder: Path) -> list[Any]:
    """What lies in a folder's files, in order (records: length, its checksum, data, its checksum)."""
    found = []
    for path in sorted(folder.glob("events.*")):
        data = path.read_bytes()
        while data:
            [length] = struct.unpack("<Q", data[:8])
            event = event_pb2.Event()
            event.ParseFromString(data[12 : 12 + length])
            found.append(event)
            data = data[16 + length :]
    return found


def test_tensorboard_is_told_to_hide_them(tmp_path: Path) -> None:
    for number, (begun, written) in enumerate([(0, (10, 20, 30, 40)), (20, (25,))]):
        sink = TensorBoard(tmp_path / str(number), begun)
        for step in written:
            sink.write(step, {"loss": float(step)})
        sink.close()
    started = [event.step for event in events(tmp_path / "1") if event.session_log.status == event_pb2.SessionLog.START]
    assert started == [21]  # TensorBoard drops what earlier files hold from this step on
    assert [event.step for event in events(tmp_path / "1") if event.summary.value] == [25]


def test_a_resumed_run_is_the_same_run_at_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    logged: list[dict[str, Any]] = []
    run = SimpleNamespace(log=logged.append, define_metric=lambda *_, **__: None, finish=lambda: None)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **options: asked.append(options) or run))
    for _ in range(2):
        WeightsAndBiases("project", tmp_path, {}).write(7, {"loss": 1.0, "stage": "x"})  # type: ignore[dict-item]
    assert asked[0]["id"] == asked[1]["id"]
    assert asked[0]["resume"] == "allow"
    assert logged == [{"step": 7, "loss": 1.0}] * 2


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA H200", 989),
        ("NVIDIA H20", 148),
        ("NVIDIA B200", 2250),
        ("NVIDIA B300 SXM6 AC", 2250),
        ("NVIDIA L40S", 362),
        ("NVIDIA L40", 181),
        ("NVIDIA L4", 121),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A10G", 0),
        ("NVIDIA GeForce RTX 4090", 0),
    ],
)
def test_peaks(name: str, peak: float) -> None:
    assert peak_of(name) == peak


def test_an_unknown_card_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA X1")
    monkeypatch.setattr("mtv_train.train.metrics.log.propagate", True)
    assert peak_tflops(LogSettings(), torch.device("cuda")) == 0
    assert "NVIDIA X1: its peak is not known here" in caplog.text
    assert peak_tflops(LogSettings(peak_tflops=10), torch.device("cuda")) == 10


@pytest.mark.parametrize(
    ("saved", "said"),
    [(None, "no checkpoint yet: begin again in another --run"), (20, "checkpoint of step 20 .* and --accept-changes")],
)
def test_numbers_that_are_none_come_with_advice_that_can_work(saved: int | None, said: str) -> None:
    numbers = {"loss": float("nan"), "grad_norm": 1.0, "losses": {}}
    with pytest.raises(NotFinite, match=said):
        refuse_not_finite(numbers, 21, 30, saved)
