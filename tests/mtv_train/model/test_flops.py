"""Counted FLOPs are torch's own count, forward and backward, and at full size what the paper's model costs."""

from __future__ import annotations

from typing import Any

import pytest
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mtv_train.model.config import MTVSettings
from mtv_train.model.flops import count_flops
from mtv_train.model.parts import Trainable
from tests.mtv_train.model import tiny

FULL = {
    "num_attention_heads": 48,
    "attention_head_dim": 64,
    "in_channels": 32,
    "out_channels": 16,
    "time_embed_dim": 512,
    "text_embed_dim": 4096,
    "num_layers": 42,
    "patch_size": 2,
    "max_text_seq_length": 226,
}


@pytest.mark.parametrize("trainable", ["attention", "none", "all"])
@pytest.mark.parametrize(
    "changes",
    [{}, {"speech_tracks": 2, "temporal_conv": "dense"}, {"extraction": "joint"}, {"injection": "shared"}],
    ids=["paper", "two speakers, dense", "without SE", "without SI"],
)
def test_equals_torchs_counter(changes: dict[str, Any], trainable: Trainable) -> None:
    model = tiny.model(**changes).train().trainable(trainable)
    arguments = tiny.inputs(1, speech_tracks=changes.get("speech_tracks", 1))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        output = model(*arguments)
        forward = counter.get_total_flops()
        output.sum().backward()
    counted = count_flops(model.backbone, model.settings, height=6, width=8, trainable=trainable)
    assert counted.forward == forward
    assert counted.backward == counter.get_total_flops() - forward
    assert sum(counted.parts.values()) == counted.forward


def test_full_size() -> None:
    """388 TFLOP a forward pass of one sample at 49 x 480 x 720, of which the cross-attentions are 56.6
    (55.7 without keys, values and the products of attention)."""
    counted = count_flops(FULL, MTVSettings())
    assert counted.forward / 1e12 == pytest.approx(388, abs=1)
    assert counted.parts["cross_attention"] / 1e12 == pytest.approx(56.56, abs=0.05)
    assert counted.backward < 2 * counted.forward, "weights that are frozen need no gradient"
    assert count_flops(FULL, MTVSettings(), trainable="all").backward == pytest.approx(2 * counted.forward, rel=1e-3)
