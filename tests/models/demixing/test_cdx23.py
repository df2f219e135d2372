"""MVSEP-CDX23: chunks, shifts and average are those of the release; checkpoints load strictly and run no code."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from demucs.apply import apply_model
from demucs.htdemucs import HTDemucs
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.models import choose
from demix.models.demixing import cdx23_checkpoint
from demix.models.demixing.cdx23 import Cdx23
from demix.models.demixing.cdx23_windows import segmented, shifted_mean
from demix.models.demixing.settings import Cdx23Settings
from demix.stages.demixing import DemixingSettings
from demix.weights import WeightsBroken, WeightsMissing
from tests.models.demixing.released import htdemucs, htdemucs_package, put_cdx23
from tests.models.vectors import Vector

RATE = 44_100


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- the arithmetic of windows ---------------------------------------------------------------------------------------


def identity(size: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """A network whose three stems are the mix, twice and three times the mix; checks what it is fed."""

    def run(batch: torch.Tensor) -> torch.Tensor:
        assert batch.shape[-1] == size
        return torch.stack([batch, 2 * batch, 3 * batch], dim=1)

    return run


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(1, 700),
    segment=st.integers(2, 90),
    more=st.integers(0, 20),
    overlap=st.sampled_from([0.0, 0.25, 0.5, 0.8]),
    shifts=st.integers(0, 2),
    batch=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_a_network_that_changes_nothing_gives_the_mix_back(
    samples: int, segment: int, more: int, overlap: float, shifts: int, batch: int, seed: int
) -> None:
    wave = torch.from_numpy(np.random.default_rng(seed).standard_normal((2, samples), np.float32))
    size = segment + more
    separate = partial(
        segmented, identity(size), segment=segment, overlap=overlap, size_for=lambda _: size, stems=3, batch=batch
    )
    found = shifted_mean(separate, wave, shifts, 30, random.Random(seed))
    assert torch.allclose(found, torch.stack([wave, 2 * wave, 3 * wave]), atol=1e-5)


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.37])
@pytest.mark.parametrize(("shifts", "overlap"), [(0, 0.25), (1, 0.8), (2, 0.5)])
def test_chunks_and_shifts_are_those_of_the_package(
    seconds: float, shifts: int, overlap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = htdemucs(0)
    wave = torch.from_numpy(np.random.default_rng(1).standard_normal((2, round(seconds * RATE)), np.float32) * 0.1)
    # The package draws from Python's own generator, of which the network takes its share in between.
    monkeypatch.setattr("demucs.apply.random", random.Random(5))
    with torch.inference_mode():
        expected = apply_model(network, wave[None], shifts=shifts, overlap=overlap)[0]
        separate = partial(
            segmented, network, segment=RATE, overlap=overlap, size_for=network.valid_length, stems=3, batch=3
        )
        found = shifted_mean(separate, wave, shifts, RATE // 2, random.Random(5))
    assert expected.std() > 1e-4
    assert (found - expected).abs().max() < 1e-6


# --- parity with the reference ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vector(shared_vectors: Path) -> Vector:
    return Vector(shared_vectors, "htdemucs_tiny")


def network_of(vector: Vector, seed: int = 0, constructor: str = "constructor") -> HTDemucs:
    return vector.rule.fill(HTDemucs(**vector.facts[constructor]), seed).eval()


def wave_of(vector: Vector, name: str) -> torch.Tensor:
    _, (channels, samples) = vector.facts["inputs"][name].split(", (")[0], (2, {"7s3": 321_930, "23s": 1_014_300}[name])
    time = np.arange(samples) / RATE
    tone = 0.2 * np.sin(2 * np.pi * 440 * time) * (time % 2 < 1)
    noise = np.float32(vector.array(f"htdemucs_wave_{name}", (channels, samples))) * 0.1
    return torch.from_numpy((noise + tone * np.array([[1.0], [0.5]])).astype(np.float32))


def ends(stems: torch.Tensor) -> np.ndarray:
    """The samples that a vector holds."""
    middle = stems.shape[-1] // 2
    return torch.cat([stems[..., :600], stems[..., middle - 300 : middle + 300], stems[..., -600:]], -1).numpy()


def separated(network: HTDemucs, wave: torch.Tensor, overlap: float, shifts: int = 0) -> torch.Tensor:
    length = int(network.segment * RATE)
    separate = partial(
        segmented, network, segment=length, overlap=overlap, size_for=network.valid_length, stems=3, batch=4
    )
    with torch.inference_mode():
        return shifted_mean(separate, wave, shifts, RATE // 2, random.Random(0))


def test_the_keys_are_those_of_the_release(vector: Vector) -> None:
    shapes = {name: list(tensor.shape) for name, tensor in network_of(vector).state_dict().items()}
    assert shapes == vector.facts["keys"]


def test_short_clip_and_ensemble_meet_the_reference(vector: Vector) -> None:
    wave = wave_of(vector, "7s3")
    first, second = network_of(vector), network_of(vector, 100)
    alone = separated(first, wave, 0.25)
    assert np.abs(ends(alone) - vector.outputs["7s3_overlap25"]).max() < 1e-6
    both = (alone + separated(second, wave, 0.25)) / 2
    assert np.abs(ends(both) - vector.outputs["7s3_overlap25_ensemble_mean"]).max() < 1e-6
    short = separated(first, wave[:, : 2 * RATE], 0.25)
    assert np.abs(ends(short) - vector.outputs["2s_overlap25"]).max() < 1e-6


@pytest.mark.slow
def test_long_clips_and_shifts_meet_the_reference(vector: Vector) -> None:
    network, wave, outputs = network_of(vector), wave_of(vector, "7s3"), vector.outputs
    assert np.abs(ends(separated(network, wave, 0.8)) - outputs["7s3_overlap80"]).max() < 1e-6
    assert random.Random(0).randint(0, RATE // 2) == outputs["shift_offset"]
    shifted = separated(network, wave, 0.8, shifts=1)
    assert np.abs(ends(shifted) - outputs["7s3_overlap80_shifts1_pyseed0"]).max() < 1e-6
    for overlap, name in ((0.8, "23s_overlap80"), (0.25, "23s_overlap25")):
        found = separated(network, wave_of(vector, "23s"), overlap)
        assert np.abs(ends(found) - outputs[name]).max() < 1e-6
        rms = found.double().square().mean(dim=(1, 2)).sqrt().numpy()
        assert np.allclose(rms, outputs[f"{name}_rms"], rtol=1e-4)
    other = network_of(vector, constructor="constructor (nobottleneck)")
    assert np.abs(ends(separated(other, wave, 0.25)) - outputs["7s3_overlap25_nobottleneck"]).max() < 1e-6


# --- the model behind its role ---------------------------------------------------------------------------------------


def mix(channels: int = 2, samples: int = RATE, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((channels, samples), np.float32) * np.float32(0.1)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with three tiny checkpoints."""
    folder = tmp_path_factory.mktemp("release")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMIX_WEIGHTS", str(folder / "cache"))
        put_cdx23(folder)
    return folder / "cache"


def made(release: Path, monkeypatch: pytest.MonkeyPatch, **chosen: Any) -> Cdx23:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(release))
    return Cdx23(Cdx23Settings(**{"checkpoints": 1, "overlap": 0.25, **chosen}), "cpu")


@pytest.fixture
def model(release: Path, monkeypatch: pytest.MonkeyPatch) -> Cdx23:
    return made(release, monkeypatch)


@pytest.mark.parametrize(("channels", "rate"), [(1, 48_000), (2, RATE), (2, 16_000)])
def test_stems_have_the_mix_s_shape_and_repeat(model: Cdx23, channels: int, rate: int) -> None:
    wave = mix(channels, rate + 7)
    stems = model.separate(wave, rate, seed=11)
    again = model.separate(wave, rate, seed=11)
    other = model.separate(wave, rate, seed=12)
    for name in ("speech", "effects", "music"):
        stem = getattr(stems, name)
        assert stem.shape == wave.shape
        assert stem.dtype == np.float32
        assert np.array_equal(stem, getattr(again, name))
        assert not np.array_equal(stem, getattr(other, name))


def test_python_s_random_numbers_are_left_alone(model: Cdx23) -> None:
    """The network draws from the global generator; what others draw afterwards must not depend on it."""
    random.seed(1)
    expected = random.Random(1).random()
    model.separate(mix(samples=1000), RATE, 0)
    assert random.random() == expected


def test_the_output_channels_are_music_effects_speech(model: Cdx23, monkeypatch: pytest.MonkeyPatch) -> None:
    constant = torch.stack([torch.full((2, RATE), value) for value in (1.0, 2.0, 3.0)])
    monkeypatch.setattr(model, "estimate", lambda wave, seed: constant)
    stems = model.separate(mix(), RATE, 0)
    assert (stems.music.mean(), stems.effects.mean(), stems.speech.mean()) == pytest.approx((1, 2, 3))


def test_three_checkpoints_are_averaged(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wave = torch.from_numpy(mix())
    model = made(release, monkeypatch, checkpoints=3, shifts=0)
    assert len(model.networks) == 3
    whole = model.estimate(wave, 0)
    parts = []
    for network in model.networks:
        model.networks = [network]
        parts.append(model.estimate(wave, 0))
    assert (parts[0] - parts[1]).abs().max() > 1e-4
    assert torch.allclose(whole, sum(parts) / 3, atol=1e-6)


def test_batched_equals_one_by_one(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wave = torch.from_numpy(mix(samples=2 * RATE))
    one, many = (made(release, monkeypatch, overlap=0.5, batch=size).estimate(wave, 1) for size in (1, 8))
    assert (one - many).abs().max() < 1e-5


def test_a_clip_without_samples(model: Cdx23) -> None:
    assert model.separate(np.zeros((2, 0), np.float32), RATE, 0).speech.shape == (2, 0)


def test_missing_weights_say_how_to_get_them() -> None:
    choice = choose("demix_three", "cdx23", DemixingSettings(three="cdx23"))
    assert choice.weights == ("cdx23", "cdx23_ensemble")
    assert choice.credit().revision == "1+absent+absent"
    with pytest.raises(WeightsMissing, match="demix weights fetch cdx23"):
        choice.make("cpu")


def test_records_say_that_weights_are_random(model: Cdx23) -> None:
    revision = choose("demix_three", "cdx23", DemixingSettings(three="cdx23")).credit().revision
    assert revision.startswith("1+random-")


# --- checkpoints -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_loaded_strictly_with_its_own_arguments(tmp_path: Path) -> None:
    """Half precision, a fraction, numpy numbers and arguments that the class no longer knows, as releases have them."""
    network = htdemucs(0, segment=Fraction(39, 40), channels=8)
    package = htdemucs_package(network)
    package["kwargs"] = {**package["kwargs"], "t_dropout": np.float64(0.0), "gone_since": 3}
    torch.save(package, tmp_path / "a.th")
    loaded = cdx23_checkpoint.load(tmp_path / "a.th")
    assert loaded.segment == Fraction(39, 40)
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.half().float())
    assert not loaded.training


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_another_state_is_refused(tmp_path: Path, change: str) -> None:
    package = htdemucs_package(htdemucs(0))
    if change == "missing":
        del package["state"]["decoder.0.conv_tr.weight"]
    elif change == "unexpected":
        package["state"]["more.weight"] = torch.zeros(1)
    else:
        package["state"]["decoder.0.conv_tr.weight"] = torch.zeros(1)
    torch.save(package, tmp_path / "a.th")
    with pytest.raises(WeightsBroken, match=r"a\.th: not a state"):
        cdx23_checkpoint.load(tmp_path / "a.th")


def test_four_sources_are_refused(tmp_path: Path) -> None:
    """A music demixer of the same family: bass and drums are no speech."""
    torch.save(htdemucs_package(htdemucs(0, sources=["drums", "bass", "other", "vocals"])), tmp_path / "a.th")
    with pytest.raises(WeightsBroken, match="three are wanted"):
        cdx23_checkpoint.load(tmp_path / "a.th")


class Config:
    """A class of the training code, as a file may name it."""


def test_a_checkpoint_that_names_more_classes_is_refused_until_it_is_converted(tmp_path: Path) -> None:
    network = htdemucs(0, segment=Fraction(39, 40))
    torch.save(htdemucs_package(network, training_args=Config()), tmp_path / "a.th")
    with pytest.raises(WeightsBroken, match="demix weights convert"):
        cdx23_checkpoint.load(tmp_path / "a.th")
    assert cdx23_checkpoint.convert(tmp_path / "a.th") == tmp_path / "a.safetensors"
    loaded = cdx23_checkpoint.load(tmp_path / "a.th")
    assert loaded.segment == Fraction(39, 40)
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.half().float())


def test_the_command_converts_in_another_process(
    release: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from demix.cli import main

    shutil.copytree(release, cache)
    assert main(["weights", "convert", "cdx23"]) == 0
    written = Path(capsys.readouterr().out.split(": ", 1)[1].strip())
    assert written.suffix == ".safetensors"
    assert Cdx23(Cdx23Settings(checkpoints=1), "cpu").networks


@pytest.mark.slow
def test_a_full_size_checkpoint(tmp_path: Path) -> None:
    """48 channels and the release's other sizes: 84 MB in half precision."""
    network = HTDemucs(sources=["music", "effect", "dialog"], bottom_channels=512)
    torch.save(htdemucs_package(network), tmp_path / "a.th")
    loaded = cdx23_checkpoint.load(tmp_path / "a.th")
    with torch.inference_mode():
        wave = torch.zeros(1, 2, int(loaded.segment * RATE))
        assert loaded(wave).shape == (1, 3, 2, wave.shape[-1])
