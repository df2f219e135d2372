"""Small person detectors of random weights, saved as their releases are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


def rtdetr_folder(folder: Path) -> Path:
    """A small RT-DETRv2 with random weights, saved as the hub has it."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.RTDetrV2Config(
        backbone_config=backbone, encoder_in_channels=[16, 24, 32], encoder_hidden_dim=32, encoder_ffn_dim=32,
        d_model=32, decoder_in_channels=[32, 32, 32], decoder_ffn_dim=32, num_queries=20, decoder_layers=2,
        hidden_expansion=0.5, encoder_attention_heads=2, decoder_attention_heads=2,
        id2label={0: "person", 1: "bicycle", 2: "car"}, label2id={"person": 0, "bicycle": 1, "car": 2},
    )  # fmt: skip
    transformers.RTDetrV2ForObjectDetection(config).save_pretrained(folder)
    transformers.RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def yolo_file(folder: Path, name: str = "yolo11n", bias: float = 1.0) -> Path:
    """A YOLO11 with random weights, pickled as its vendor does. It takes most places for persons: random nets are sure
    of nothing, so a `bias` is put on what they say."""
    pytest.importorskip("ultralytics", reason="an optional package")
    from demix.models.persons.yolo import _network_class

    torch.manual_seed(0)
    network = _network_class()(f"{name}.yaml", verbose=False)
    network.names = {number: "person" if number == 0 else f"thing {number}" for number in range(80)}
    for branch in network.model[-1].cv3:
        branch[-1].bias.data[0] = bias
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": -1, "model": network.half(), "ema": None, "date": "today"}, folder / f"{name}.pt")
    return folder / f"{name}.pt"
