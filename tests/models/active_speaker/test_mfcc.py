"""Cepstra as the nets' training made them: int16-scaled, rectangular frames, four rows a video frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.models.active_speaker.mfcc import mfcc, rows_for
from tests.models.vectors import Vector


def test_the_reference_package_is_met(shared_vectors: Path) -> None:
    vector = Vector(shared_vectors, "mfcc_frontend")
    t = np.arange(32_000) / 16_000
    tone = np.round(6000 * np.sin(2 * np.pi * (200 + 150 * t) * t))
    signal = (vector.array("mfcc_int16_2s", (32_000,), -3000, 3000) + tone).astype(np.int16)
    np.testing.assert_array_equal(signal[:64], vector.outputs["signal_head"])
    for name, found in {
        "mfcc_2s": mfcc(signal),
        "mfcc_16123_samples": mfcc(signal[:16_123]),
        "mfcc_float_unit_scale_first10": mfcc(signal / 32_768)[:10],
        "silence_300ms": mfcc(np.zeros(4_800)),
    }.items():
        np.testing.assert_allclose(found, vector.outputs[name], rtol=0, atol=1e-6)


def test_the_package_itself_is_met_where_it_is_installed() -> None:
    package = pytest.importorskip("python_speech_features", reason="a development package")
    signal = np.random.default_rng(1).integers(-9000, 9000, 4_777)
    theirs = package.mfcc(signal, 16_000, numcep=13, winlen=0.025, winstep=0.010)
    np.testing.assert_allclose(mfcc(signal), theirs, rtol=0, atol=1e-9)


@given(samples=st.integers(1, 4000))
def test_frames_begin_every_ten_milliseconds_and_cover_the_sound(samples: int) -> None:
    count = len(mfcc(np.ones(samples)))
    assert (count - 1) * 160 + 400 >= samples
    assert count == 1 or (count - 2) * 160 + 400 < samples


@given(samples=st.integers(0, 4000), frames=st.integers(1, 6))
def test_four_rows_a_video_frame_whatever_the_sound_s_length(samples: int, frames: int) -> None:
    assert rows_for(np.ones(samples, np.float32), 4 * frames).shape == (4 * frames, 13)


def test_full_scale_is_that_of_sixteen_bits() -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    energy = rows_for(wave, 20)[:, 0] - mfcc(wave)[:20, 0]
    np.testing.assert_allclose(energy, 2 * np.log(32_768), atol=1e-3)
