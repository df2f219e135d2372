"""Released weights: loaded strictly from where the registry keeps them, refused when they are something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from demix import weights
from demix.config import ConfigError
from mtv_train.evaluate.networks.imagebind import ImageBind, Shape, Shapes
from mtv_train.evaluate.networks.released import Released, load_strictly, torchscript_i3d
from mtv_train.evaluate.networks.syncnet import SyncNet
from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.suite import SUITES, check_licences, chosen_metrics
from tests.mtv_train.evaluate.conftest import Vector

CPU = torch.device("cpu")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path))
    return tmp_path


class Detector(nn.Module):
    """The calling convention of StyleGAN-V's scripted I3D."""

    def forward(
        self, x: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False
    ) -> torch.Tensor:
        if rescale or resize or not return_features:
            raise RuntimeError("called with the wrong switches")
        return x.mean(dim=[2, 3, 4]).repeat(1, 134)[:, :400]


def test_the_old_syncnet_file_without_counters(folder: Path, vector: Callable[[str], Vector]) -> None:
    state = vector("syncnet").state(but=("num_batches_tracked",))
    (folder / "syncnet_v2").mkdir()
    torch.save(state, folder / "syncnet_v2/syncnet_v2.model", _use_new_zipfile_serialization=False)
    network = Released(EvaluateSettings(), CPU).syncnet()
    assert not network.training
    torch.testing.assert_close(network.state_dict()["netfclip.3.bias"], state["netfclip.3.bias"])


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    state = SyncNet(shrink=16).state_dict()
    state.pop("netfcaud.0.weight")
    with pytest.raises(weights.WeightsBroken, match=r"x\.model: this is not the released[\s\S]*netfcaud"):
        load_strictly(lambda: SyncNet(shrink=16), state, tmp_path / "x.model")


def test_imagebind_is_loaded_with_half_floats_as_float32(tmp_path: Path) -> None:
    def build() -> ImageBind:
        return ImageBind(Shapes(vision=Shape(32, 1, 2), text=Shape(32, 1, 2), audio=Shape(32, 1, 2), embedding=8))

    state = {name: value.half() for name, value in build().state_dict().items()}
    network = load_strictly(build, state, tmp_path / "x.pth")
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}
    assert not any(value.is_meta for value in network.state_dict().values())


def test_the_scripted_i3d_is_called_as_published(folder: Path) -> None:
    (folder / "i3d_torchscript").mkdir()
    torch.jit.script(Detector()).save(str(folder / "i3d_torchscript/i3d_torchscript.pt"))
    network = Released(EvaluateSettings(), CPU).i3d()
    video = torch.randn(1, 3, 10, 8, 8)
    np.testing.assert_allclose(network(video)[0, :3], video.mean((2, 3, 4))[0], rtol=1e-5)


def test_a_pickle_instead_of_the_scripted_i3d_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "i3d.pt")
    with pytest.raises(weights.WeightsBroken, match="not a TorchScript archive"):
        torchscript_i3d(tmp_path / "i3d.pt", CPU)


def test_limits_of_a_licence_have_to_be_accepted_by_name(folder: Path) -> None:
    suite = SUITES["released"](EvaluateSettings(), CPU)
    with pytest.raises(ConfigError, match=r"text_c: videoclip_xl is CC-BY-NC-SA-4\.0, which forbids commercial use"):
        check_licences(suite, ("text_c", "audio_c"), ["imagebind_huge"])
    with pytest.raises(ConfigError, match=r"videoclip_xl[\s\S]*demix weights fetch videoclip_xl"):
        check_licences(suite, ("text_c",), ["videoclip_xl"])
    assert check_licences(suite, ("av_align",), []) == []


def test_all_that_is_missing_is_told_at_once(folder: Path) -> None:
    suite = SUITES["released"](EvaluateSettings(), CPU)
    with pytest.raises(ConfigError) as told:
        check_licences(suite, ("fvd", "temp_c", "sync"), [])
    assert all(name in str(told.value) for name in ("i3d_torchscript", "clip_vit_b32", "syncnet_v2"))


def test_metrics_come_in_the_papers_order() -> None:
    assert chosen_metrics("sync, fvd") == ("fvd", "sync")
    assert chosen_metrics("all")[0] == "fvd"
