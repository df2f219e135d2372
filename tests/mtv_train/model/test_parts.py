"""Ablations change exactly the parameters they should, the trained parts are the paper's, and the parameter counts of
the full-size models are the release's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mtv_train.model.config import MTVSettings
from mtv_train.model.parts import CONTROL_NET, parameter_counts, part_of, trained_parts
from mtv_train.model.transformer import MTVTransformer3DModel
from tests.mtv_train.model import tiny
from tests.mtv_train.model.test_flops import FULL


def _shapes(**changes: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in tiny.model(moved=False, **changes).named_parameters()}


def _differing(changes: dict[str, Any]) -> tuple[set[str], set[str], set[str]]:
    """Modules gone, come, and of another shape, without their block's number."""
    paper, other = _shapes(), _shapes(**changes)

    def modules(names: set[str]) -> set[str]:
        found = (name.removesuffix(".weight").removesuffix(".bias").split(".") for name in names)
        return {".".join(part for part in parts if not part.isdigit()) for parts in found}

    gone, come = modules(set(paper) - set(other)), modules(set(other) - set(paper))
    return gone, come, modules({name for name in set(paper) & set(other) if paper[name] != other[name]})


CROSS = "transformer_blocks.injection.attention"
CROSS_PARTS = ("norm", "to_q", "to_k", "to_v", "to_out")


def test_without_separate_extraction() -> None:
    gone, come, changed = _differing({"extraction": "joint"})
    assert gone == {"transformer_blocks.injection.style"}
    assert come == {f"{CROSS}.music.{part}" for part in CROSS_PARTS} | {"audio.interaction.norm1.music"}
    assert changed == {"audio.interaction.adaln"}


def test_without_separate_injection() -> None:
    gone, come, changed = _differing({"injection": "shared"})
    assert all(
        name.startswith(("audio.interaction.", f"{CROSS}.", "transformer_blocks.injection.style")) for name in gone
    )
    assert {f"{CROSS}.{track}.{part}" for track in ("speech", "effects") for part in CROSS_PARTS} <= gone
    assert come == {f"{CROSS}.shared.{part}" for part in CROSS_PARTS}
    assert changed == set()


def test_two_speakers() -> None:
    gone, come, changed = _differing({"speech_tracks": 2})
    assert gone == changed == set()
    assert come == {f"{CROSS}.speech2.{part}" for part in CROSS_PARTS} | {
        "audio.speakers.speech",
        "audio.speakers.speech2",
    }


def test_dense_convolution() -> None:
    gone, come, changed = _differing({"temporal_conv": "dense"})
    assert gone == come == set()
    assert changed == {f"audio.projectors.{kind}.conv" for kind in ("speech", "effects", "music")}


@pytest.mark.parametrize("changes", [{"official": True}, {"zero_init": False}])
def test_switches_that_change_no_shape(changes: dict[str, Any]) -> None:
    assert _differing(changes) == (set(), set(), set())


def test_zero_init_is_what_zero_init_changes() -> None:
    def zeros(**changes: Any) -> set[str]:
        model = tiny.model(moved=False, **changes)
        return {part_of(n) for n, p in model.named_parameters() if n.endswith("weight") and not p.any()}

    assert zeros() == {"cross_attention", "style"}
    assert zeros(zero_init=False) == {"style"}


def test_what_is_trained() -> None:
    model = tiny.model(speech_tracks=2)

    def trained() -> set[str]:
        parts = {part_of(name): parameter.requires_grad for name, parameter in model.named_parameters()}
        assert all(parts[part_of(name)] == p.requires_grad for name, p in model.named_parameters())
        return {part for part, is_trained in parts.items() if is_trained}

    model.trainable("none")
    assert trained() == set(CONTROL_NET), "W/o TB: the backbone is frozen"
    model.trainable("attention")
    assert trained() == {*CONTROL_NET, "attention"}
    model.trainable("all")
    assert trained() == trained_parts("all")


def test_one_ablation_at_a_time() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        MTVSettings(extraction="joint", injection="shared")


@pytest.mark.parametrize(
    ("speakers", "total", "control", "trained"),
    [(1, 11_587_696_704, 5_962_412_544, 7_548_633_600), (2, 12_579_376_704, 6_954_092_544, 8_540_313_600)],
)
def test_full_size_counts(speakers: int, total: int, control: int, trained: int) -> None:
    """The release's, of which we count a position embedding as a buffer and leave out a table that is never used."""
    with torch.device("meta"):
        settings = MTVSettings.release(2 if speakers == 2 else 1)
        backbone = {**FULL, "use_rotary_positional_embeddings": True, "use_learned_positional_embeddings": True}
        model = MTVTransformer3DModel(backbone, settings.model_dump())
    counts = parameter_counts(model)
    unused = 64 * 3072
    assert sum(counts.values()) + model.patch_embed.pos_embedding.numel() + unused == total
    assert sum(parameter_counts(model, CONTROL_NET).values()) == control
    model.trainable("attention")
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trained


def test_full_size_default_is_small() -> None:
    """The convolution over each token's channels spares 3.6 billion parameters."""
    with torch.device("meta"):
        model = MTVTransformer3DModel({**FULL, "use_rotary_positional_embeddings": True}, MTVSettings().model_dump())
    assert sum(parameter_counts(model).values()) / 1e9 == pytest.approx(7.9, abs=0.1)
    assert parameter_counts(model, ["projectors"])["projectors"] / 1e6 < 120
