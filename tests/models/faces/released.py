"""Face detectors of made-up weights in the layout of their releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from demix.models.faces.s3fd_network import S3fd


def yunet_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A net with YuNet's inputs and outputs that takes every bright square of 32 pixels for a face."""
    onnx = pytest.importorskip("onnx", reason="a development package")
    helper, tensor = onnx.helper, onnx.TensorProto
    nodes: list[Any] = []
    constants: list[Any] = []
    outputs: list[Any] = []
    for stride in (8, 16, 32):
        nodes.append(
            helper.make_node(
                "AveragePool", ["input"], [f"seen_{stride}"], kernel_shape=[stride] * 2, strides=[stride] * 2
            )
        )
        for name, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            scored = name in ("cls", "obj") and stride == 32
            weight = np.full((channels, 3, 1, 1), 0.02 if scored else 0.0, np.float32)
            bias = np.full(channels, -6.0 if name in ("cls", "obj") else 0.0, np.float32)
            label = f"{name}_{stride}"
            constants += [
                onnx.numpy_helper.from_array(weight, f"w_{label}"),
                onnx.numpy_helper.from_array(bias, f"b_{label}"),
                onnx.numpy_helper.from_array(np.array([1, -1, channels]), f"shape_{label}"),
            ]
            last = f"flat_{label}" if name in ("cls", "obj") else label
            nodes += [
                helper.make_node("Conv", [f"seen_{stride}", f"w_{label}", f"b_{label}"], [f"conv_{label}"]),
                helper.make_node("Transpose", [f"conv_{label}"], [f"turned_{label}"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"turned_{label}", f"shape_{label}"], [last]),
            ]
            if last != label:
                nodes.append(helper.make_node("Sigmoid", [last], [label]))
            places = (320 // stride) ** 2
            outputs.append(helper.make_tensor_value_info(label, tensor.FLOAT, [1, places, channels]))
    given = [helper.make_tensor_value_info("input", tensor.FLOAT, [1, 3, 320, 320])]
    outputs.sort(key=lambda output: ("cls", "obj", "bbox", "kps").index(output.name.split("_")[0]))
    graph = helper.make_graph(nodes, "yunet", given, outputs, constants)
    folder.mkdir()
    path = folder / "face_detection_yunet_2023mar.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), path)
    monkeypatch.setattr("demix.weights.store._complete", lambda path, file: path.is_file())


def s3fd_file(folder: Path) -> S3fd:
    torch.manual_seed(0)
    network = S3fd()
    for layer in network.conf:
        torch.nn.init.zeros_(layer.bias)
    folder.mkdir()
    torch.save(network.state_dict(), folder / "sfd_face.pth")
    return network
