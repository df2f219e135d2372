"""BandIt Plus: the released layout loads strictly, the network and its chunks meet the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.models import choose
from demix.models.demixing.bandit_bands import musical_bands
from demix.models.demixing.bandit_network import BanditPlus
from demix.models.demixing.bandit_plus import STEMS, BanditPlusDemixer, chunked, each_channel
from demix.models.demixing.settings import BanditPlusSettings
from demix.stages.demixing import DemixingSettings
from demix.weights import WeightsBroken, WeightsMissing
from tests.models.demixing.released import STRUCTURE, put_bandit_plus
from tests.models.vectors import Vector

RATE = 44_100


def small() -> BanditPlus:
    """The sizes of the parity vector."""
    return BanditPlus(layers=2, embedding=16, recurrent=24, hidden=32)


# --- bands and windows -----------------------------------------------------------------------------------------------


def test_the_bands_cover_every_bin_and_their_weights_sum_to_one() -> None:
    total = np.zeros(1025)
    for band in musical_bands():
        total[band.start : band.end] += band.weights
    assert np.allclose(total, 1)
    assert sum(band.width for band in musical_bands()) == 2142


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(1, 700),
    chunk=st.integers(4, 90),
    overlaps=st.integers(2, 5),
    batch=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_a_network_that_changes_nothing_gives_the_mix_back(
    samples: int, chunk: int, overlaps: int, batch: int, seed: int
) -> None:
    wave = torch.from_numpy(np.random.default_rng(seed).standard_normal((2, samples), np.float32))
    found = chunked(
        lambda waves: torch.stack([waves, 2 * waves], dim=1), wave, stems=2, chunk=chunk, overlaps=overlaps, batch=batch
    )
    assert torch.allclose(found, torch.stack([wave, 2 * wave]), atol=1e-5)


# --- parity with the reference ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vector(shared_vectors: Path) -> Vector:
    return Vector(shared_vectors, "bandit_plus_small")


@pytest.fixture(scope="module")
def network(vector: Vector) -> BanditPlus:
    """Generated weights, loaded strictly; what the network computes itself stays."""
    made = small()
    own = {key: tensor for key, tensor in made.state_dict().items() if any(part in key for part in STRUCTURE)}
    assert len(own) == vector.facts["structural keys"]
    made.load_state_dict({**vector.state(), **own})
    return made.eval()


@pytest.fixture(scope="module")
def wave(vector: Vector) -> torch.Tensor:
    time = np.arange(396_900) / RATE
    tone = 0.2 * np.sin(2 * np.pi * 440 * time) * (time % 2 < 1)
    noise = np.float32(vector.array("bandit_wave", (2, 396_900))) * 0.1
    return torch.from_numpy((noise + tone * np.array([[1.0], [0.5]])).astype(np.float32))


def ends(stems: torch.Tensor) -> np.ndarray:
    """The samples that a vector holds."""
    middle = stems.shape[-1] // 2
    return torch.cat([stems[..., :600], stems[..., middle - 300 : middle + 300], stems[..., -600:]], -1).numpy()


def test_the_keys_are_those_of_the_release(shared_vectors: Path) -> None:
    import json

    facts = json.loads((shared_vectors / "bandit_plus_full_keys.json").read_text())
    shapes = {name: list(tensor.shape) for name, tensor in BanditPlus().state_dict().items()}
    assert shapes == facts["keys"]


def test_the_network_meets_the_reference(vector: Vector, network: BanditPlus, wave: torch.Tensor) -> None:
    outputs = vector.outputs
    assert tuple(outputs["forward_order"]) == STEMS
    with torch.inference_mode():
        spectrum = network.spectrum(wave[:1, :132_300])
        estimates = network.masks(spectrum)[0] * spectrum
        assert np.abs(ends(network(wave[:1, :132_300])[0]) - outputs["forward_3s"]).max() < 2e-6
        stereo = each_channel(network)(wave[None, :, :RATE])
    assert np.abs(parts(spectrum[0]) - outputs["stft_slice"]).max() < 1e-5
    for stem, estimate in zip(STEMS, estimates, strict=True):
        assert np.abs(parts(estimate) - outputs[f"spec_{stem}"]).max() < 1e-5
        low = torch.view_as_real(estimate[:48, 100:108]).permute(2, 0, 1).numpy()
        assert np.abs(low - outputs[f"spec_lowbins_{stem}"]).max() < 1e-5
    assert np.abs(ends(stereo[0]) - outputs["forward_1s_stereo"]).max() < 2e-6


def parts(spectrum: torch.Tensor) -> np.ndarray:
    return torch.view_as_real(spectrum).permute(2, 0, 1)[:, ::16, ::8].numpy()


def separated(network: BanditPlus, wave: torch.Tensor, chunk: int, overlaps: int) -> torch.Tensor:
    with torch.inference_mode():
        return chunked(each_channel(network), wave, stems=3, chunk=chunk, overlaps=overlaps, batch=3)


def test_a_clip_that_is_shorter_than_a_chunk_meets_the_reference(
    vector: Vector, network: BanditPlus, wave: torch.Tensor
) -> None:
    found = separated(network, wave[:, :100_000], 132_300, 4)
    assert np.abs(ends(found) - vector.outputs["demix_100000_samples_chunk132300"]).max() < 2e-6


@pytest.mark.parametrize(
    ("chunk", "overlaps", "name", "seams"),
    [
        pytest.param(132_300, 2, "demix9s_chunk132300_overlap2", (66_150, 132_300, 198_450, 264_600)),
        pytest.param(132_300, 4, "demix9s_chunk132300", (33_000, 66_150, 132_300, 200_000), marks=pytest.mark.slow),
        pytest.param(
            264_600,
            4,
            "demix9s_released_chunk264600",
            (66_150, 198_450, 264_600, 330_750),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_chunks_meet_the_reference(
    vector: Vector,
    network: BanditPlus,
    wave: torch.Tensor,
    chunk: int,
    overlaps: int,
    name: str,
    seams: tuple[int, ...],
) -> None:
    found = separated(network, wave, chunk, overlaps)
    assert np.abs(ends(found) - vector.outputs[name]).max() < 2e-6
    around = torch.stack([found[..., seam - 60 : seam + 60] for seam in seams], dim=2).numpy()
    assert np.abs(around - vector.outputs[f"{name}_seams"]).max() < 2e-6
    rms = found.double().square().mean(dim=(1, 2)).sqrt().numpy()
    assert np.allclose(rms, vector.outputs[f"{name}_rms"], rtol=1e-4)


# --- the model behind its role ---------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BanditPlusDemixer:
    """Small, so that it can be run: the released sizes are loaded in the slow test."""
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.setattr("demix.models.demixing.bandit_network.BanditPlus", lambda stems: small())
    torch.manual_seed(0)
    put_bandit_plus(tmp_path, small())
    return BanditPlusDemixer(BanditPlusSettings(chunk_samples=22_050), "cpu")


@pytest.mark.parametrize(("channels", "rate"), [(1, 48_000), (2, RATE)])
def test_stems_have_the_mix_s_shape(model: BanditPlusDemixer, channels: int, rate: int) -> None:
    wave = np.random.default_rng(0).standard_normal((channels, rate + 7), np.float32) * np.float32(0.1)
    stems = model.separate(wave, rate, 0)
    for name in STEMS:
        assert getattr(stems, name).shape == wave.shape
        assert getattr(stems, name).dtype == np.float32
        assert getattr(stems, name).any()
    assert model.separate(wave[:, :0], rate, 0).speech.shape == (channels, 0)


def test_stems_keep_their_names_and_the_batch_does_not_matter(model: BanditPlusDemixer) -> None:
    wave = np.random.default_rng(0).standard_normal((2, RATE), np.float32) * np.float32(0.1)
    one = model.estimate(torch.from_numpy(wave))
    stems = model.separate(wave, RATE, 0)
    for name, expected in zip(STEMS, one, strict=True):
        assert np.array_equal(getattr(stems, name), expected.numpy())
    model.settings = BanditPlusSettings(chunk_samples=22_050, batch=1)
    assert (model.estimate(torch.from_numpy(wave)) - one).abs().max() < 1e-5


def test_missing_weights_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsMissing, match="demix weights fetch bandit_plus"):
        choose("demix_three", "bandit_plus", DemixingSettings(three="bandit_plus")).make("cpu")


def test_another_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "cache"))
    put_bandit_plus(tmp_path, small())
    with pytest.raises(WeightsBroken, match="not the released BandIt Plus"):
        BanditPlusDemixer(BanditPlusSettings(), "cpu")


@pytest.mark.slow
def test_the_released_size_loads_strictly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "cache"))
    put_bandit_plus(tmp_path, BanditPlus())
    model = BanditPlusDemixer(BanditPlusSettings(), "cpu")
    stems = model.separate(np.zeros((2, RATE), np.float32), RATE, 0)
    assert stems.speech.shape == (2, RATE)
