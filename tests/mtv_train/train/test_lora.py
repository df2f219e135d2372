"""Adapters: nothing else is trained, a resumed run is an uninterrupted one, the exported model is the adapted one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from demix.config import ConfigError
from mtv_train.config import LoraSettings, ParallelSettings, StageSettings, TrainSettings
from mtv_train.model.adapters import add_adapters, merge_adapters
from mtv_train.model.audio import AudioWindows
from mtv_train.model.flops import count_flops
from mtv_train.model.parts import part_of
from mtv_train.model.transformer import MTVTransformer3DModel
from mtv_train.recipes import load
from mtv_train.train.components import make_transformer
from mtv_train.train.export import export
from mtv_train.train.memory import memory, sizes
from tests.mtv_train.model import tiny
from tests.mtv_train.train.ranks import in_ranks, train_toy
from tests.mtv_train.train.toy import SUBSETS, Toy, toy_settings


def settings_of(rank: int = 2, alpha: float = 8.0, steps: int = 2, **parts: Any) -> TrainSettings:
    stages = {SUBSETS[0]: StageSettings(steps=steps, weights={SUBSETS[0]: 1.0})}
    settings = toy_settings(**{"stages": stages, **parts})
    lora = LoraSettings(rank=rank, alpha=alpha)
    return settings.model_copy(update={"model": settings.model.model_copy(update={"lora": lora})})


def trained(run: Path, ranks: int = 1, settings: TrainSettings | None = None, **call: Any) -> dict[str, np.ndarray]:
    chosen = settings or settings_of()
    result: dict[str, np.ndarray] = in_ranks(ranks, train_toy, lambda: Toy(chosen, run, **call))[0]
    return result


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """Two steps from a trained model, and what its parameters and averages are then."""
    folder = tmp_path_factory.mktemp("lora")
    return folder, trained(folder)


def test_only_adapters_of_attention_and_injection_are_trained(run: tuple[Path, dict[str, np.ndarray]]) -> None:
    values = run[1]
    began = make_transformer(settings_of().model, 0).named_parameters()
    first = {name: value.detach().numpy() for name, value in began}
    changed = {name for name, value in first.items() if not np.array_equal(values[name], value)}
    adapters = {name for name in first if ".lora_" in name}
    assert changed == adapters == {name.removeprefix("ema.") for name in values if name.startswith("ema.")}
    layers = {part_of(name.replace(".lora_A", "").replace(".lora_B", "")) for name in adapters}
    assert layers == {"attention", "cross_attention", "style"}
    frozen = settings_of().model.model_copy(update={"train_backbone": "none"})
    less = {name for name, value in make_transformer(frozen, 0).named_parameters() if value.requires_grad}
    assert less == {name for name in adapters if "attn1" not in name}


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_more_ranks_learn_the_same(ranks: int, run: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    """Also where a run goes on with fewer."""
    trained(tmp_path, ranks, stop_after=1)
    values = trained(tmp_path)
    assert values.keys() == run[1].keys()
    for name, value in run[1].items():
        np.testing.assert_allclose(values[name], value, rtol=0, atol=2e-6, err_msg=name)


def test_resumed_is_uninterrupted(run: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    trained(tmp_path, stop_after=1)
    values = trained(tmp_path)
    assert all(np.array_equal(values[name], value) for name, value in run[1].items())


def test_half_precision_adapts_float32_adapters(tmp_path: Path) -> None:
    precise = ParallelSettings(precision="bfloat16", activation="projections")

    def kinds() -> dict[str, str]:
        trainer = Toy(settings_of(parallel=precise), tmp_path).trainer()
        trainer.fit()
        return {name: str(value.dtype) for name, value in trainer.model.named_parameters()}

    for rank in in_ranks(2, kinds):
        assert all(kind == ("torch.float32" if ".lora_" in name else "torch.bfloat16") for name, kind in rank.items())


@pytest.mark.parametrize("raw", [True, False], ids=["parameters", "average"])
def test_the_export_is_the_adapted_model(raw: bool, run: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    folder, values = run
    export(folder, tmp_path / "out", raw=raw)
    merged = MTVTransformer3DModel.from_pretrained(tmp_path / "out" / "transformer").eval()
    adapted = make_transformer(settings_of().model, 0).eval()
    kept = {name: name if raw else f"ema.{name}" for name in values if ".lora_" in name and not name.startswith("ema.")}
    own = {name: torch.from_numpy(values[held]) for name, held in kept.items()}
    before = outputs(adapted)
    missing = adapted.load_state_dict(own, strict=False)
    assert not missing.unexpected_keys
    after = outputs(adapted)
    assert not any(".lora_" in name for name in merged.state_dict())
    assert float((after - before).abs().max()) > 1e-4, "something was learnt"
    assert float((outputs(merged) - after).abs().max()) < 1e-6 * max(1.0, float(after.abs().max()))


def outputs(model: MTVTransformer3DModel) -> torch.Tensor:
    settings = settings_of()
    torch.manual_seed(0)
    frames, *picture = settings.latent_shape
    backbone, mtv = settings.model.backbone, settings.model.mtv
    heard = (1, settings.data.window.frames, mtv.window_frames, mtv.feature_layers, mtv.feature_dim)
    with torch.no_grad():
        output: torch.Tensor = model(
            torch.randn(1, frames, *picture),
            torch.randn(1, backbone.max_text_seq_length, backbone.text_embed_dim),
            torch.tensor([500]),
            AudioWindows(torch.randn(heard), torch.randn(heard), torch.randn(heard)),
        )
    return output


def test_a_run_starts_with_another_strength_or_rank(run: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    """The strength of adapters is a setting in force; their rank shapes parameters."""
    trained(tmp_path, stop_after=1)

    def strength() -> tuple[float, str, str]:
        stronger = Toy(settings_of(alpha=16.0), tmp_path, accept_changes=True).trainer()
        [scale] = {layer.scaling["default"] for layer in stronger.model.modules() if hasattr(layer, "scaling")}
        said = []
        for other in (settings_of(rank=3), settings_of(rank=0)):
            try:
                Toy(other, tmp_path, accept_changes=True).trainer()
            except ConfigError as error:
                said.append(str(error))
        return scale, said[0], said[1]

    [(scale, wider, none)] = in_ranks(1, strength)
    assert scale == 8.0
    assert "is the save of another model" in wider
    assert "is the save of another model" in none


def test_a_run_with_adapters_starts_from_an_export(run: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    export(run[0], tmp_path / "out")
    model = settings_of().model.model_copy(update={"init": str(tmp_path / "out")})
    made = make_transformer(model, 0).eval()
    plain = MTVTransformer3DModel.from_pretrained(tmp_path / "out" / "transformer").eval()
    assert torch.equal(outputs(made), outputs(plain)), "adapters add nothing at first"


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"lora\.rank=4 adapts a trained MTV, .* the folder of one as init$"):
        load("mtv_5b", assignments=["model.lora.rank=4"])
    with pytest.raises(ConfigError, match=r"lora.rank=4 trains adapters in place of the weights, train_backbone=all"):
        load("tiny", assignments=["model.lora.rank=4", "model.train_backbone=all"])


def test_memory_counts_adapters() -> None:
    settings = load("mtv_5b", assignments=["model.lora.rank=64", "model.init=MODEL"])
    counted = sizes(settings)
    width, sound = 3072, 768
    attention = 4 * (width + width)
    cross = 2 * (2 * (width + width) + 2 * (sound + width))
    assert counted.trained == 42 * 64 * (attention + cross + sound + 2 * width)
    assert memory(settings, 1, counted)["AdamW's moments (float32)"] == pytest.approx(8 * counted.trained / 2**30)


@pytest.mark.parametrize("backbone", [True, False])
@pytest.mark.parametrize("changes", [{}, {"extraction": "joint"}, {"injection": "shared"}])
def test_flops_are_torchs_own_count(changes: dict[str, Any], backbone: bool) -> None:
    model = tiny.model(**changes).train()
    add_adapters(model, 2, 8.0, backbone)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        output = model(*tiny.inputs(1))
        forward = counter.get_total_flops()
        output.sum().backward()
    trainable = "attention" if backbone else "none"
    counted = count_flops(model.backbone, model.settings, height=6, width=8, trainable=trainable, adapters=2)
    assert counted.forward == forward
    assert counted.backward == counter.get_total_flops() - forward
    merge_adapters(model)
    plain = count_flops(model.backbone, model.settings, height=6, width=8)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(*tiny.inputs(1))
    assert counter.get_total_flops() == plain.forward
