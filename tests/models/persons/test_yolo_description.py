"""What a YOLO file says of its net is data: nothing in it is evaluated or called."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from torch import nn

from demix.models.persons.yolo import checked_shape
from demix.weights import WeightsBroken

SHAPE: dict[str, Any] = {
    "nc": 80,
    "backbone": [[-1, 1, "Conv", [64, 3, 2]], [-1, 1, "nn.Upsample", [None, 2, "nearest"]]],
    "head": [[[0, 1], 1, "Detect", ["nc"]]],
}


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much of the optional package as the check looks at."""
    package, networks, modules = (
        ModuleType(name) for name in ("ultralytics", "ultralytics.nn", "ultralytics.nn.modules")
    )
    modules.Conv, modules.Detect = nn.Conv2d, nn.Identity  # type: ignore[attr-defined]
    modules.load_checkpoint = print  # type: ignore[attr-defined]
    networks.modules, package.nn = modules, networks  # type: ignore[attr-defined]
    for module in (package, networks, modules):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def test_a_description_of_layers_is_taken() -> None:
    assert checked_shape(Path("yolo.pt"), SHAPE) == SHAPE


@pytest.mark.parametrize(
    "changes",
    [
        {"activation": "__import__('os').mkdir('mark')"},
        {"backbone": [[-1, 1, "load_checkpoint", ["other.pt"]]]},
        {"head": [[-1, 1, "nn.Module.__init__", []]]},
        {"head": [[-1, 1, "nn.functional", []]]},
        {"head": [[-1, 1, "torchvision.ops.nms", []]]},
        {"head": [[-1, 1, "__builtins__", []]]},
        {"head": [["Conv"]]},
        {"head": None},
    ],
    ids=str,
)
def test_anything_else_is_refused_and_named(changes: dict[str, Any]) -> None:
    with pytest.raises(WeightsBroken, match=r"^yolo\.pt: "):
        checked_shape(Path("yolo.pt"), SHAPE | changes)
