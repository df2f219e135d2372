"""What each network is shown: the reference implementations' preprocessing, and the properties that define it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from mtv_train.evaluate import audio, fvd, temporal, text
from mtv_train.evaluate.metric import Unscorable
from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.video import Clip
from tests.mtv_train.evaluate.conftest import Vector

Read = Callable[[str], Vector]


# --- FVD -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "name", "shape"),
    [
        ("landscape", "fvd_video", (3, 12, 90, 120)),
        ("portrait", "fvd_video_portrait", (3, 12, 120, 90)),
        ("large", "fvd_video_large", (3, 12, 300, 257)),
    ],
)
def test_fvd_reference(vector: Read, case: str, name: str, shape: tuple[int, ...]) -> None:
    reference = vector("fvd_preprocess")
    pictures = reference.input(name, shape, 0, 256).transpose(1, 2, 3, 0).astype(np.uint8)
    video = fvd.preprocess(np.ascontiguousarray(pictures))
    assert list(video.shape) == reference[f"{case}.shape"].tolist()
    np.testing.assert_allclose(video[:, ::5, 3:223:20, 1:224:20], reference[f"{case}.styleganv"], atol=1e-5)
    np.testing.assert_allclose(video[:, ::5, :6, -6:], reference[f"{case}.corner"], atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(8, 300), st.integers(8, 300), st.integers(0, 255))
def test_fvd_any_size_becomes_a_square_and_grey_stays_grey(height: int, width: int, level: int) -> None:
    video = fvd.preprocess(np.full((1, height, width, 3), level, np.uint8))
    assert video.shape == (3, 1, 224, 224)
    torch.testing.assert_close(video, torch.full_like(video, level / 127.5 - 1), atol=1e-5, rtol=0)


def test_fvd_refuses_a_video_that_is_too_short() -> None:
    metric = fvd.FVD(lambda video: video.mean((1, 2, 3, 4))[:, None], frames=16, device=torch.device("cpu"))
    clip = Clip("short", np.zeros((12, 8, 8, 3), np.uint8), np.arange(12) / 24, Fraction(24), None, 0)
    with pytest.raises(Unscorable, match=r"has 12 frames .* set to 16"):
        metric.measure(clip)


# --- Temp-C ----------------------------------------------------------------------------------------------------------


def test_clip_reference(vector: Read) -> None:
    reference = vector("clip_temporal")
    constructor = reference.facts["constructor"]
    network = CLIPModel(CLIPConfig(**constructor)).eval()
    network.load_state_dict(reference.state())
    base = reference.input("clip_frames_base", (3, 32, 32))
    steps = 0.5 * reference.input("clip_frames_step", (8, 3, 32, 32))
    pixels = torch.from_numpy(np.stack([base + steps[: k + 1].sum(0) for k in range(8)]))
    with torch.inference_mode():
        embeddings = temporal.embed(network, pixels).numpy()
    np.testing.assert_allclose(embeddings, reference["embeddings"], atol=1e-5)
    np.testing.assert_allclose(temporal.cosines(embeddings), reference["cosines"], atol=1e-6)
    score = temporal.TemporalConsistency(network, torch.device("cpu"), 3).score({"embeddings": embeddings})
    assert score["temp_c"] == pytest.approx(100 * float(reference["mean"]), abs=1e-4)


def test_clip_preprocessing_reference(vector: Read) -> None:
    reference = vector("clip_temporal")
    land = reference.input("clip_frames_uint8", (2, 72, 128, 3), 0, 256)
    port = np.kron(reference.input("clip_frames_blocks", (2, 20, 15, 3), 0, 256), np.ones((1, 16, 16, 1)))
    for name, pictures in (("pre_land", land), ("pre_port", port)):
        pixels = temporal.image_processor()(list(pictures.astype(np.uint8)), return_tensors="pt")["pixel_values"]
        np.testing.assert_allclose(pixels[:, :, 5::37, 3::37], reference[name], atol=0.03)


def test_a_still_picture_is_perfectly_consistent() -> None:
    embeddings = np.tile(np.random.default_rng(0).normal(size=16), (5, 1))
    np.testing.assert_allclose(temporal.cosines(embeddings), 1)
    np.testing.assert_allclose(temporal.cosines(np.array([[1.0, 0], [0, 2], [0, -1]])), [0, -1], atol=1e-12)


# --- Text-C ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "shape"), [("land", (21, 90, 120)), ("port", (8, 300, 257)), ("small", (40, 48, 48))])
def test_videoclip_reference(vector: Read, case: str, shape: tuple[int, int, int]) -> None:
    reference = vector("videoclipxl_pre")
    pictures = reference.input(f"videoclipxl_frames_{case}", (*shape, 3), 0, 256).astype(np.uint8)
    indices = text.frame_indices(len(pictures))
    assert indices.tolist() == reference[f"{case}.indices_step"].tolist()
    pixels = text.preprocess(pictures[indices])
    np.testing.assert_allclose(pixels[:, :, 5:224:40, 3:224:40], reference[f"{case}.pixels"], atol=0.02)
    np.testing.assert_allclose([pixels.mean(), pixels.std()], reference[f"{case}.mean_std"], atol=1e-3)


@given(st.integers(8, 500))
def test_videoclip_frames_are_even_and_exist(count: int) -> None:
    indices = text.frame_indices(count)
    assert len(indices) == 8
    assert indices[0] == 0
    assert indices[-1] < count
    assert len(set(np.diff(indices))) == 1


def test_videoclip_refuses_fewer_than_eight_frames() -> None:
    with pytest.raises(Unscorable, match="has 7 frames"):
        text.frame_indices(7)


@pytest.fixture(scope="session")
def tokenizer() -> CLIPTokenizer:
    """CLIP's own vocabulary, as open_clip's wheel carries it."""
    try:
        wheel = distribution("open_clip_torch")
    except PackageNotFoundError:
        pytest.skip("open_clip_torch, whose wheel carries CLIP's vocabulary, is not installed")
    path = Path(str(wheel.locate_file("open_clip/bpe_simple_vocab_16e6.txt.gz")))
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    merges = [tuple(line.split()) for line in lines]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(code) for code in printable]
    letters += [chr(256 + n) for n in range(256 - len(printable))]
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=merges)


def test_tokens_reference(vector: Read, tokenizer: CLIPTokenizer) -> None:
    """Also for a text beyond 248 tokens: it is cut, and ends with the end token."""
    reference = vector("videoclipxl_reduced")
    found = torch.stack([text.tokens(tokenizer, line) for line in reference.facts["texts"]])
    assert found.tolist() == reference["tokens"].tolist()
    reference = vector("imagebind_reduced")
    found = torch.stack([text.tokens(tokenizer, line, context=77) for line in reference.facts["texts"]])
    assert found.tolist() == reference["tokens"].tolist()


# --- Audio-C ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "channels", "rate", "seconds"),
    [
        ("mono16k_5.3s", 1, 16000, 5.3),
        ("stereo44k_4s", 2, 44100, 4),
        ("mono16k_1.5s", 1, 16000, 1.5),
        ("mono16k_10s", 1, 16000, 10),
    ],
)
def test_imagebind_sound_reference(vector: Read, case: str, channels: int, rate: int, seconds: float) -> None:
    """The reference takes the mean off in place, which the switch repeats."""
    reference = vector("imagebind_audio_pre")
    samples = round(rate * seconds)
    wave = torch.from_numpy(0.1 * reference.input(f"imagebind_wave_{case}", (channels, samples)) + 0.02).float()
    mels = audio.sound_clips(wave, rate, mean_in_place=True)
    assert mels.shape == (3, 1, 128, 204)
    np.testing.assert_allclose(mels[:, 0, ::9, ::11], reference[f"{case}.mel"], atol=2e-3)
    np.testing.assert_allclose(mels[:, 0, 60, 190:], reference[f"{case}.mel_tail"], atol=2e-3)
    points = audio.windows(samples / rate, 3)
    np.testing.assert_allclose(np.array(points, float), reference[f"{case}.timepoints"], atol=1e-6)


def test_imagebind_windows_do_not_change_one_another() -> None:
    """By default a window's spectrogram is what it would be alone; the reference's slip shows where windows overlap."""
    wave = torch.randn(1, 48000, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.3
    ours, slipped = audio.sound_clips(wave, 16000), audio.sound_clips(wave, 16000, mean_in_place=True)
    alone = audio.sound_clips(wave[:, 16000:], 16000)[0]
    torch.testing.assert_close(ours[2], alone)
    torch.testing.assert_close(ours[0], slipped[0])
    assert (ours[2] - slipped[2]).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("case", "shape", "fps"),
    [
        ("land25", (130, 60, 80), 25.0),
        ("port24", (60, 90, 50), 24.0),
        ("ntsc", (95, 48, 48), 30000 / 1001),
        ("short25", (30, 48, 64), 25.0),
    ],
)
def test_imagebind_video_reference(vector: Read, case: str, shape: tuple[int, int, int], fps: float) -> None:
    reference = vector("imagebind_video_pre")
    pictures = reference.input(f"imagebind_frames_{case}", (*shape, 3), 0, 256).astype(np.uint8)
    assert np.array(audio.frame_indices(len(pictures), fps)).tolist() == reference[f"{case}.frame_indices"].tolist()
    views = audio.video_clips(pictures, fps)
    assert views.shape == (15, 3, 2, 224, 224)
    np.testing.assert_allclose(views[:, :, :, ::56, ::56], reference[f"{case}.pixels"], atol=1e-4)
    np.testing.assert_allclose(views[:6, :, 0, :3, -3:], reference[f"{case}.corner"], atol=1e-4)


def test_imagebind_frames_of_many_lengths_and_rates(vector: Read) -> None:
    for row in vector("imagebind_video_pre").facts["index_table"]:
        found = [list(pair) for pair in audio.frame_indices(row["frames"], row["fps"])]
        assert found == row["indices"], (row["fps"], row["frames"])


@pytest.mark.parametrize("arithmetic", ["repaired", "published"])
def test_audio_c_in_published_arithmetic(arithmetic: Any) -> None:
    """A setting, from the command line's to the spectrograms that the network is given; the default keeps its key."""
    given: list[torch.Tensor] = []

    class Network:
        def embed_sound(self, mels: torch.Tensor) -> torch.Tensor:
            given.append(mels[0])
            return torch.ones(1, 4)

        def embed_video(self, views: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(views), 4)

    chosen = EvaluateSettings(audio_c={"arithmetic": arithmetic})
    suite: Any = SimpleNamespace(imagebind=Network)
    metric = audio.AudioConsistency.build(chosen, suite, torch.device("cpu"))
    wave = np.random.default_rng(0).standard_normal((1, 3 * 16000)).astype(np.float32) + 0.5
    clip = Clip("a", np.zeros((75, 32, 32, 3), np.uint8), np.arange(75) / 25, Fraction(25), wave, 16000)
    metric.measure(clip)
    expected = audio.sound_clips(torch.from_numpy(wave), 16000, mean_in_place=arithmetic == "published")
    assert torch.equal(given[0], expected)
    assert bool(audio.AudioConsistency.depends_on(chosen)) == (arithmetic == "published")
