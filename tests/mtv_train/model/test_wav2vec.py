"""wav2vec2 features: transformers' where frames fall on features, the release's under its alignment, true to time
otherwise."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import Wav2Vec2Config, Wav2Vec2Model

from mtv_train.model.wav2vec import (
    FIELD,
    SAMPLE_RATE,
    STRIDE,
    AudioEncoder,
    feature_positions,
    normalised,
    official_lengths,
    sampled,
)
from tests.mtv_train.vectors import Vector

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}


def _encoder() -> AudioEncoder:
    torch.manual_seed(0)
    return AudioEncoder(Wav2Vec2Model(Wav2Vec2Config(**TINY)))


def test_the_release(shared_vectors: Path) -> None:
    vector = Vector(shared_vectors, "mtv_wav2vec")
    model = Wav2Vec2Model(Wav2Vec2Config(**TINY))
    model.load_state_dict(vector.weights(), strict=True)
    encoder = AudioEncoder(model)
    for seconds in ("1.0s", "2.3s"):
        wave = vector.input(f"w2v.audio_{seconds}")[None]
        vector.meets(normalised(wave)[0, :64], f"normalised/{seconds}")
        vector.meets(model.feature_extractor(wave)[0].T, f"raw/{seconds}/conv_features")
        for fps in (24, 25):
            samples, frames = official_lengths(wave.shape[1], fps)
            assert samples == wave.shape[1]
            for kind, normalise in (("raw", False), ("preprocess", True)):
                features = encoder.features(wave, frames, fps, normalise=normalise, official_alignment=True)
                vector.meets(features[0], f"{kind}/{seconds}/fps{fps}")
            vector.meets(encoder.release_features(wave, fps)[0], f"preprocess/{seconds}/fps{fps}")
        vector.meets(encoder.release_features(wave, 24, sampling=True)[0], f"preprocess_clip49/{seconds}/fps24")
    features = vector.output("preprocess/1.0s/fps24")[None]
    vector.meets(AudioEncoder.windows(features[:, :8, :, :6])[0], "windows/1.0s/fps24")


def test_lengths_of_the_release(shared_vectors: Path) -> None:
    for samples, fps, clip, encoded, frames in Vector(shared_vectors, "mtv_wav2vec").outputs["length_table"]:
        assert official_lengths(int(samples), fps, int(clip) if clip > 0 else None) == (encoded, frames)


def test_a_video_longer_than_its_sound_is_heard_to_its_end() -> None:
    assert official_lengths(16000, 24, 49, at_least=49) == official_lengths(16000, 24, 49)
    assert official_lengths(16000, 24, 49, at_least=50) == (16000 + 73 * 666, 97)
    assert _encoder().release_features(torch.randn(1, 100), 24, sampling=True, at_least=5).shape[1] == 49


def test_equals_transformers_where_frames_fall_on_features() -> None:
    """At 50 frames a second, the first in the middle of the first feature's field, nothing is interpolated."""
    encoder, wave = _encoder(), torch.randn(2, 16000)
    whole = encoder.wav2vec(wave, output_hidden_states=True).hidden_states[1:]
    start = (FIELD - 1) / 2 / SAMPLE_RATE
    ours = encoder.features(wave, 49, SAMPLE_RATE / STRIDE, start=start, normalise=False)
    torch.testing.assert_close(ours, torch.stack(whole, 2), atol=0, rtol=0)


@given(st.integers(1, 200), st.sampled_from([8, 23.976, 24, 25, 29.97, 30, 60]), st.floats(0, 20))
def test_features_are_placed_by_their_time(frames: int, fps: float, start: float) -> None:
    """A feature that says its own time gives, sampled at a frame, the frame's time."""
    count = math.ceil((start + frames / fps) * 50) + 2
    times = ((torch.arange(count, dtype=torch.float64) * STRIDE + (FIELD - 1) / 2) / SAMPLE_RATE)[None, None]
    expected = (start + torch.arange(frames, dtype=torch.float64) / fps).clamp(min=float(times[0, 0, 0]))
    given_times = sampled(times, feature_positions(frames, fps, start))[0, 0]
    torch.testing.assert_close(given_times, expected, atol=1e-9, rtol=0)


def test_official_alignment_is_off_by_up_to_a_feature() -> None:
    """What the switch is for: the release's even spread against true time stamps, in features, over two seconds."""
    frames, count = 49, (round(49 / 24 * SAMPLE_RATE) - FIELD) // STRIDE + 1
    even = torch.linspace(0, count - 1, frames, dtype=torch.float64)
    off = (even - feature_positions(frames, 24).clamp(0, count - 1)).abs().max()
    assert 0.5 < off < 2


def test_windows() -> None:
    features = torch.arange(6.0)[None, :, None, None]
    assert AudioEncoder.windows(features, 2)[0, :, :, 0, 0].tolist()[:2] == [[0, 0, 0, 1, 2], [0, 0, 1, 2, 3]]
    inner = AudioEncoder.windows(features, 2, first=2, frames=2)[0, :, :, 0, 0]
    assert inner.tolist() == [[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]], "true neighbours where they are given"


def test_frozen_and_deterministic() -> None:
    encoder = _encoder().train()
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    wave = torch.randn(1, 8000)
    assert torch.equal(encoder.features(wave, 12, 24), encoder.features(wave, 12, 24)), "dropout acts"
    assert encoder.features(torch.zeros(1, 8000), 12, 24).isfinite().all(), "silence"


def test_batch_is_two_of_one() -> None:
    encoder, wave = _encoder(), torch.randn(2, 8000) * torch.tensor([[0.01], [1.0]])
    both = encoder.features(wave, 12, 24)
    for row in range(2):
        torch.testing.assert_close(
            both[row : row + 1], encoder.features(wave[row : row + 1], 12, 24), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize("wave", [torch.zeros(8000), torch.zeros(1, 399)])
def test_bad_waves(wave: Tensor) -> None:
    with pytest.raises(ValueError, match="expected \\(batch, at least 400 samples\\)"):
        _encoder().features(wave, 12, 24)


def test_other_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="base kind"):
        AudioEncoder(Wav2Vec2Model(Wav2Vec2Config(**TINY, do_stable_layer_norm=True, feat_extract_norm="layer")))


def test_from_folder(tmp_path: Path) -> None:
    encoder, wave = _encoder(), torch.randn(1, 8000)
    encoder.wav2vec.save_pretrained(tmp_path)
    again = AudioEncoder.from_pretrained(tmp_path)
    np.testing.assert_array_equal(again.features(wave, 12, 24), encoder.features(wave, 12, 24))
    assert (again.layers, again.dim) == (3, 32)
