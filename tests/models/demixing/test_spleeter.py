"""Spleeter in PyTorch: the TensorFlow checkpoint loads strictly, waves are the package's, gain and edges too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from demix import weights
from demix.models import choose
from demix.models.demixing.settings import SpleeterSettings
from demix.models.demixing.spleeter import Spleeter, estimate, forward_transform, inverse_transform, masks
from demix.models.demixing.spleeter_network import BINS, FRAMES, INSTRUMENTS, UNet, unets
from demix.stages.demixing import DemixingSettings
from demix.weights import WeightsBroken, WeightsMissing
from demix.weights.tensorflow import read_bundle
from tests.models.demixing.released import put_spleeter
from tests.models.vectors import Vector

RATE = 44_100
CPU = torch.device("cpu")


# --- the transform ---------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(samples=st.integers(1, 12_000), seed=st.integers(0, 9))
def test_a_spectrum_that_nobody_changed_is_the_wave_again(samples: int, seed: int) -> None:
    """But where fewer than four frames overlap, at the very end."""
    wave = torch.from_numpy(np.random.default_rng(seed).standard_normal((2, samples), np.float32))
    spectrum = forward_transform(wave)
    assert spectrum.shape == (2, -(-(samples + 4096) // 1024), 2049)
    back = inverse_transform(spectrum, samples)
    assert back.shape == wave.shape
    sure = (spectrum.shape[1] - 4) * 1024
    assert torch.allclose(back[:, :sure], wave[:, :sure], atol=1e-5)


def test_masks_are_shares_and_nobody_gets_what_lies_above_11_khz() -> None:
    """With networks that answer nothing both stems are half of the mix below 11025 Hz."""
    silent = nn.ModuleDict({name: Silent() for name in INSTRUMENTS})
    time = torch.arange(RATE, dtype=torch.float64) / RATE
    low, high = (torch.sin(2 * torch.pi * hertz * time).float() for hertz in (1000, 15_000))
    stems = estimate(silent, (low + high).expand(2, -1).contiguous(), 1, CPU)
    inner = slice(5000, 39_000)
    assert torch.allclose(stems[0], stems[1])
    assert (stems[0] - low / 2)[..., inner].abs().max() < 1e-3


class Silent(nn.Module):
    def forward(self, magnitude: torch.Tensor) -> torch.Tensor:
        return 0 * magnitude


def test_tensorflow_s_same_padding(vector: Vector) -> None:
    """A strided convolution of an even size has its extra zero at the end: written out in plain loops here."""
    network = UNet()
    picture = torch.from_numpy(vector.array("picture", (1, 2, 8, 8)).astype(np.float32))
    kernel, bias = network.down[0].weight.detach(), network.down[0].bias.detach()
    padded = torch.zeros(1, 2, 11, 11)
    padded[..., 1:9, 1:9] = picture
    expected = torch.zeros(16, 4, 4)
    for y in range(4):
        for x in range(4):
            patch = padded[0, :, 2 * y : 2 * y + 5, 2 * x : 2 * x + 5]
            expected[:, y, x] = (patch * kernel).sum((1, 2, 3)) + bias
    found = network.down[0](torch.nn.functional.pad(picture, (1, 2, 1, 2)))[0]
    assert torch.allclose(found, expected, atol=1e-5)


# --- parity with the package -----------------------------------------------------------------------------------------


def test_segments_are_masked_together_as_alone() -> None:
    """Four segments, the last one not full, through nets that mix what a segment holds."""
    torch.manual_seed(0)
    layers = {name: nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Sigmoid()) for name in INSTRUMENTS}
    magnitude = torch.rand(2, 3 * FRAMES + 40, BINS)
    with torch.inference_mode():
        alone, together = (masks(nn.ModuleDict(layers), magnitude, batch, CPU) for batch in (1, 3))
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(alone.sum(0), torch.ones_like(magnitude), atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def vector(shared_vectors: Path) -> Vector:
    return Vector(shared_vectors, "spleeter_2stems")


@pytest.fixture(scope="module")
def release(shared_vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with the checkpoint that the package was run on, byte for byte."""
    folder = tmp_path_factory.mktemp("spleeter")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMIX_WEIGHTS", str(folder / "cache"))
        put_spleeter(folder, Vector(shared_vectors, "spleeter_tf_bundle").outputs["index_bytes"].tobytes())
        receipts = weights.Cache().receipts(weights.find("spleeter_2stems"))
    facts = Vector(shared_vectors, "spleeter_tf_bundle").facts["data file"]
    assert receipts["model.data-00000-of-00001"].sha256 == facts["sha256"]
    return folder / "cache"


@pytest.fixture
def model(release: Path, monkeypatch: pytest.MonkeyPatch) -> Spleeter:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(release))
    return Spleeter(SpleeterSettings(), "cpu")


def wave_of(vector: Vector, name: str) -> torch.Tensor:
    ((samples, channels),) = [tuple(vector.facts["inputs"][name]["shape"])]
    noise = np.float32(vector.array(f"spleeter_wave_{name}", (samples, channels))) * np.float32(0.1)
    tone = np.float32(0.2 * np.sin(2 * np.pi * 440 * (np.arange(samples) / RATE)))
    return torch.from_numpy(np.ascontiguousarray((noise + tone[:, np.newaxis]).T))


def check_waves(vector: Vector, name: str, stems: np.ndarray) -> None:
    """Beginning, middle and end of both stems, and their levels."""
    middle = stems.shape[-1] // 2
    places = {"first2000": slice(2000), "mid2000": slice(middle - 1000, middle + 1000), "last2000": slice(-2000, None)}
    for stem, instrument in zip(stems, INSTRUMENTS, strict=True):
        for place, span in places.items():
            expected = vector.outputs[f"{name}_{instrument}_{place}"].T
            assert np.abs(stem[:, span] - expected).max() < 2e-5, (instrument, place)
        rms = np.sqrt(np.mean(np.square(stem, dtype=np.float64)))
        assert np.isclose(rms, vector.outputs[f"{name}_{instrument}_rms"], rtol=1e-4)


def test_three_seconds_are_those_of_the_package(vector: Vector, model: Spleeter) -> None:
    stems = estimate(model.networks, wave_of(vector, "3s"), 2, CPU).numpy()
    check_waves(vector, "3s", stems)


@pytest.mark.slow
def test_two_segments_are_those_of_the_package(vector: Vector, model: Spleeter) -> None:
    """12.5 s: spectrum, networks, masks and waves; one segment at a time or both together."""
    wave = wave_of(vector, "12s5")
    stems = estimate(model.networks, wave, 2, CPU)
    check_waves(vector, "12s5", stems.numpy())
    assert (stems - estimate(model.networks, wave, 1, CPU)).abs().max() < 1e-5
    spectrum = forward_transform(wave)
    magnitude = spectrum[..., :BINS].abs()
    outputs = vector.outputs
    sampled = magnitude.permute(1, 2, 0)[:FRAMES:16, ::16].numpy()
    assert np.abs(sampled - outputs["seg0_input_magnitude_every16"]).max() < 5e-4
    shares = masks(model.networks, magnitude, 2, CPU)
    for share, instrument in zip(shares, INSTRUMENTS, strict=True):
        found = share.permute(1, 2, 0)[:FRAMES:16, ::16].numpy()
        heard = sampled > 1e-3
        assert np.abs(found - outputs[f"seg0_mask_{instrument}_every16"])[heard].max() < 2e-4
        with torch.inference_mode():
            answer = model.networks[instrument](magnitude[None, :, :FRAMES])[0].permute(1, 2, 0)[::16, ::16].numpy()
        assert np.abs(answer - outputs[f"seg0_unet_{instrument}_spectrogram_every16"]).max() < 1e-3


# --- the model behind its role ---------------------------------------------------------------------------------------


def test_stems_have_the_mix_s_shape(model: Spleeter) -> None:
    wave = np.random.default_rng(0).standard_normal((1, 48_007), np.float32) * np.float32(0.1)
    stems = model.separate(wave, 48_000, 0)
    assert stems.speech.shape == stems.others.shape == wave.shape
    assert stems.speech.dtype == stems.others.dtype == np.float32
    assert model.separate(wave[:, :0], 48_000, 0).speech.shape == (1, 0)


def test_a_checkpoint_must_be_whole_and_nothing_else(release: Path) -> None:
    folder = release / "spleeter_2stems"
    variables = read_bundle(folder / "model.index", folder / "model.data-00000-of-00001")
    assert len(variables) == 149
    unets(variables)
    for change in (
        {name: array for name, array in variables.items() if name != "conv2d_9/bias"},
        {**variables, "conv2d_14/bias": variables["conv2d/bias"]},
        {**variables, "conv2d_9/bias": variables["conv2d/bias"]},
    ):
        with pytest.raises(WeightsBroken, match="not Spleeter 2stems"):
            unets(change)


def test_missing_weights_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsMissing, match="demix weights fetch spleeter_2stems"):
        choose("demix_two", "spleeter", DemixingSettings(two="spleeter")).make("cpu")
