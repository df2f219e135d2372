"""Training starts from trained weights, exactly: from an export, from the authors' converted model, from a backbone of
any precision; on any ranks; and a model that is another is refused with what to set."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import CogVideoXTransformer3DModel
from safetensors.torch import load_file, save_file

from demix.config import ConfigError
from mtv_train.config import LoraSettings, ParallelSettings, StageSettings, TrainSettings
from mtv_train.convert.files import convert_sat, export_sat
from mtv_train.distributed.fsdp import parallelize
from mtv_train.distributed.mesh import make_mesh
from mtv_train.distributed.names import parameter_name
from mtv_train.distributed.world import join
from mtv_train.model.config import MTVSettings
from mtv_train.model.transformer import MTVTransformer3DModel
from mtv_train.train.components import make_transformer
from mtv_train.train.export import export
from tests.mtv_train.train.ranks import in_ranks, train_toy
from tests.mtv_train.train.toy import SUBSETS, Toy, toy_settings

SIZES = (
    "feature_layers",
    "feature_dim",
    "audio_window",
    "projector_dim",
    "audio_tokens",
    "audio_dim",
    "interval_blocks",
)


def settings_of(**model: Any) -> TrainSettings:
    stages = {SUBSETS[0]: StageSettings(steps=1, weights={SUBSETS[0]: 1.0})}
    settings = toy_settings(stages=stages)
    return settings.model_copy(update={"model": settings.model.model_copy(update=model)})


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a step of training made."""
    folder = tmp_path_factory.mktemp("exported")
    in_ranks(1, train_toy, lambda: Toy(settings_of(), folder / "run"))
    export(folder / "run", folder / "out")
    return folder / "out"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")


def start(run: Path, settings: TrainSettings) -> dict[str, tuple[np.ndarray, str]]:
    """The parameters of a sharded model before its first step, whole, and how each is kept."""
    trainer = Toy(settings, run).trainer()
    return {
        parameter_name(name): (value.full_tensor().detach().float().numpy(), str(value.dtype))  # type: ignore[attr-defined]
        for name, value in trainer.model.named_parameters()
    }


@pytest.mark.parametrize("ranks", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_run_starts_from_an_export(ranks: int, exported: Path, tmp_path: Path) -> None:
    saved = weights(exported)
    for rank in in_ranks(ranks, start, tmp_path, settings_of(init=str(exported))):
        assert all(np.array_equal(value, saved[name].numpy()) for name, (value, _) in rank.items())
        assert len(rank) == len(saved) - 1  # the positions are no parameter
    [other] = in_ranks(1, start, tmp_path, settings_of())
    assert not all(np.array_equal(value, saved[name].numpy()) for name, (value, _) in other.items())


def own_memory() -> float:
    """MiB of this process that are no file's pages."""
    [line] = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon:"))
    return int(line.split()[1]) / 1024


def taken(settings: TrainSettings, rank: int) -> float:
    """MiB of its own that a rank takes to make and shard the model, adapters of that rank on it."""
    lora = LoraSettings(rank=rank)
    world, before = join("cpu", 1.0), own_memory()
    model = make_transformer(settings.model.model_copy(update={"lora": lora}), 0)
    sharded = parallelize(model, make_mesh(world), settings.parallel)
    return own_memory() - before if sharded is not None else 0.0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux for its own memory")
@pytest.mark.parametrize("rank", [0, 4])
def test_no_rank_holds_the_whole_model(rank: int, tmp_path: Path) -> None:
    wide = {"num_attention_heads": 32, "attention_head_dim": 16, "num_layers": 4}
    backbone = settings_of().model.backbone.model_copy(update=wide)

    def save() -> float:
        model = make_transformer(settings_of(backbone=backbone).model, 0)
        model.save_pretrained(tmp_path / "transformer")
        return sum(value.nbytes for value in model.parameters()) / 2**20

    [whole] = in_ranks(1, save)
    assert whole > 50
    for own in in_ranks(2, taken, settings_of(backbone=backbone, init=str(tmp_path)), rank):
        assert own < 0.7 * whole


def test_it_goes_on_where_the_folder_is_gone(exported: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "from"))
    settings = settings_of(init=str(folder))
    longer = settings.model_copy(update={"stages": {SUBSETS[0]: StageSettings(steps=2, weights={SUBSETS[0]: 1.0})}})
    whole = in_ranks(1, train_toy, lambda: Toy(longer, tmp_path / "whole"))[0]
    in_ranks(1, train_toy, lambda: Toy(longer, tmp_path / "run", stop_after=1))
    shutil.rmtree(folder)
    again = in_ranks(1, train_toy, lambda: Toy(longer, tmp_path / "run"))[0]
    assert all(np.array_equal(again[name], value) for name, value in whole.items())


def test_the_authors_model_is_trained_on(tmp_path: Path) -> None:
    """A file of the authors' kind, of the toy's size, converted."""
    toy = settings_of().model.mtv
    sizes = {name: getattr(toy, name) for name in SIZES}
    mtv = MTVSettings.release().model_copy(update={**sizes, "interval_heads": 2})
    make_transformer(settings_of(mtv=mtv).model, 3).save_pretrained(tmp_path / "ours")
    file, folder = tmp_path / "mp_rank_00_model_states.pt", tmp_path / "converted"
    export_sat(tmp_path / "ours", file)
    heard = {"feature_layers": toy.feature_layers, "audio_window": toy.audio_window}
    convert_sat(file, folder, official=True, sample=(5, 4, 4), **heard)
    with pytest.raises(ConfigError, match=r"another than the recipe's; .* --set model\.mtv\.temporal_conv=dense"):
        make_transformer(settings_of(init=str(folder)).model, 0)
    made = make_transformer(settings_of(init=str(folder), mtv=mtv).model, 0).state_dict()
    given = MTVTransformer3DModel.from_pretrained(folder).state_dict()
    assert made.keys() == given.keys()
    assert all(torch.equal(value, given[name]) for name, value in made.items())


def test_masters_hold_what_the_files_hold(tmp_path: Path) -> None:
    """Half-precision weights are not rounded to bfloat16 on their way to float32."""
    settings = settings_of(weights="pretrained", source=str(tmp_path), train_backbone="all")
    backbone = CogVideoXTransformer3DModel(**settings.model.backbone.config).half()
    backbone.save_pretrained(tmp_path / "transformer")
    precise = settings.model_copy(update={"parallel": ParallelSettings(precision="bfloat16", activation="none")})
    [found] = in_ranks(1, start, tmp_path / "run", precise)
    given = backbone.state_dict()
    compared = [name for name in given if name in found]
    assert len(compared) > 30
    for name in compared:
        value, kind = found[name]
        assert kind == "torch.float32"
        assert np.array_equal(value, given[name].float().numpy()), name
    assert not torch.equal(given["proj_out.weight"].bfloat16().float(), given["proj_out.weight"].float())


def damaged(folder: Path, change: str) -> None:
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    if change == "absent":
        del tensors["proj_out.bias"]
    elif change == "more":
        tensors["proj_out.scale"] = torch.zeros(1)
    elif change == "shape":
        tensors["proj_out.bias"] = torch.zeros(3)
    save_file(tensors, path)
    if change == "cut":
        path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("absent", "1 tensors do not fit its config.json: proj_out.bias is absent"),
        ("more", "proj_out.scale is none of the model's"),
        ("shape", r"proj_out.bias is \(3,\), not \("),
        ("cut", "cannot be read"),
    ],
)
def test_weights_that_do_not_fit_are_refused(exported: Path, tmp_path: Path, change: str, said: str) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "from"))
    damaged(folder, change)
    with pytest.raises(ConfigError, match=said):
        make_transformer(settings_of(init=str(folder)).model, 0)


def test_other_models_are_refused_with_what_to_set(exported: Path, tmp_path: Path) -> None:
    wide = settings_of(init=str(exported))
    backbone = wide.model.backbone.model_copy(update={"num_layers": 3})
    with pytest.raises(ConfigError, match=r"to train it, give --set model\.backbone\.num_layers=2$"):
        make_transformer(wide.model.model_copy(update={"backbone": backbone}), 0)
    with pytest.raises(ConfigError, match=r"model\.init: .* holds no readable config\.json"):
        make_transformer(settings_of(init=str(tmp_path)).model, 0)
    CogVideoXTransformer3DModel(**wide.model.backbone.config).save_pretrained(tmp_path / "cog")
    with pytest.raises(ConfigError, match=r"not an MTV; a backbone is given as model\.source"):
        make_transformer(settings_of(init=str(tmp_path / "cog")).model, 0)
