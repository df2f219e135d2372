"""What is heard of two channels: the mean where nothing cancels out in it, and everything where something would."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.media.audio import mono, rms_db
from demix.media.stereo import StereoImage
from demix.models.demixing import ThreeStems, TwoStems
from demix.models.diarization.lite import LiteDiarizer
from demix.stages.demixing import DemixingSettings, DemixingStage
from mtv_train.data.settings import WindowSettings
from mtv_train.data.sound import read_track
from mtv_train.evaluate.video import Clip
from tests.media.sound_films import cut_whole
from tests.media.test_sound import fault
from tests.models.demixing.test_lite import RATE, background, speech_stem, three, two


def noise(seed: int, seconds: float = 3, channels: int = 2) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((channels, round(RATE * seconds))) * 0.1).astype(np.float32)


def band(seed: int, low: float, high: float) -> np.ndarray:
    """Noise between two frequencies, float32 (samples,)."""
    spectrum = np.fft.rfft(noise(seed, channels=1)[0])
    hertz = np.fft.rfftfreq(3 * RATE, 1 / RATE)
    return np.fft.irfft(np.where((hertz > low) & (hertz < high), spectrum, 0), 3 * RATE).astype(np.float32)


PANNED = np.array([[0.9], [0.4]], np.float32)
ORDINARY = {
    "mono": noise(1, channels=1),
    "centred": np.tile(noise(1, channels=1), (2, 1)),
    "unrelated": noise(2),
    "panned": noise(3, channels=1) * PANNED,
    "centred over unrelated": np.tile(noise(4, channels=1), (2, 1)) + noise(5),
    "silence": np.zeros((2, RATE), np.float32),
    "short": noise(6, seconds=0.01),
    "empty": noise(6, seconds=0),
}


@pytest.mark.parametrize("kind", ORDINARY)
def test_ordinary_sound_is_the_mean_of_its_channels(kind: str) -> None:
    wave = ORDINARY[kind]
    np.testing.assert_array_equal(mono(wave), wave.mean(axis=0, dtype=np.float64).astype(np.float32))


@pytest.mark.parametrize("seconds", [0.01, 0.3, 3])
def test_opposite_channels_are_heard_at_their_level(seconds: float) -> None:
    wave = noise(1, seconds, channels=1) * np.array([[1], [-1]], np.float32)
    assert rms_db(wave.mean(axis=0)) < -100
    np.testing.assert_allclose(mono(wave), wave[0], atol=1e-5)


@pytest.mark.parametrize("only", [0, 1])
def test_a_channel_alone_is_heard_at_its_level(only: int) -> None:
    wave = noise(1)
    wave[1 - only] *= 1e-3
    np.testing.assert_array_equal(mono(wave), wave[only])


def test_what_is_opposite_is_heard_beside_what_is_in_phase() -> None:
    """A voice in opposite phase over louder music in the middle, that the whole wave does not show."""
    voice, music = band(1, 300, 3000), 4 * band(2, 5000, 9000)
    wave = np.stack([music + voice, music - voice])
    assert not StereoImage.of(wave).inverted
    found = mono(wave)
    assert max(np.corrcoef(found, music + sign * voice)[0, 1] for sign in (1, -1)) > 0.99
    assert rms_db(found) == pytest.approx(rms_db(music + voice), abs=0.2)


WAVES = st.builds(
    lambda seed, weights: (np.array(weights, np.float32) @ noise(seed, 0.5, 3)).astype(np.float32),
    st.integers(0, 99),
    st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=2, max_size=2),
)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(wave=WAVES)
def test_hearing_loses_nothing_that_the_mean_has(wave: np.ndarray) -> None:
    """Whatever is in two channels: as loud as the mean at least and as the louder channel at most; a wave upside down
    is heard upside down, and left and right are equals."""
    found = mono(wave)
    assert found.shape == wave.shape[1:]
    assert rms_db(found) >= rms_db(wave.mean(axis=0)) - 0.1
    assert rms_db(found) <= max(rms_db(channel) for channel in wave) + 0.1
    np.testing.assert_allclose(mono(-wave), -found, atol=1e-5)
    assert rms_db(mono(wave[::-1])) == pytest.approx(rms_db(found), abs=0.1)


def test_more_channels_are_heard_as_the_builder_mixes_them() -> None:
    wave = np.zeros((6, RATE), np.float32)
    wave[2] = noise(1, 1, channels=1)
    np.testing.assert_allclose(mono(wave), wave[2], atol=1e-6)


@pytest.mark.parametrize("name", ["plain", "left", "right", "inverted"])
def test_an_image_is_aligned_and_restored(name: str) -> None:
    gains = {"plain": (1, 1), "left": (1, 0), "right": (0, 1), "inverted": (1, -1)}[name]
    wave = noise(1, channels=1) * np.array(gains, np.float32)[:, None]
    image = StereoImage.of(wave)
    np.testing.assert_array_equal(image.restored(image.aligned(wave)), wave)
    assert (image == StereoImage()) == (name == "plain")


def separated(mix: np.ndarray) -> tuple[ThreeStems, TwoStems]:
    stage = DemixingStage(DemixingSettings())
    stage.three, stage.two = three(), two()
    return stage._separated(mix, RATE, 1)


SIDES = {"middle": (1, 1), "left only": (1, 0), "right only": (0, 1), "opposite": (1, -1)}


@pytest.mark.parametrize("behind", ["nothing", "music"])
@pytest.mark.parametrize("side", SIDES)
def test_both_demixers_find_speech_wherever_it_is(side: str, behind: str) -> None:
    voice = speech_stem()[:1] * np.array(SIDES[side], np.float32)[:, None]
    mix = voice + (0 if behind == "nothing" else background("music", -32))
    a, b = separated(mix.astype(np.float32))
    for speech in (a.speech, b.speech):
        assert speech.shape == mix.shape
        assert rms_db(speech) == pytest.approx(rms_db(voice), abs=3)
        assert np.corrcoef(speech.ravel(), voice.ravel())[0, 1] > 0.8


def test_trainer_and_metrics_hear_speech_in_opposite_phase() -> None:
    voice = speech_stem()[:1] * np.array([[1], [-1]], np.float32)
    file = io.BytesIO()
    soundfile.write(file, voice.T, RATE, format="FLAC", subtype="PCM_16")
    track = read_track(file.getvalue(), "key", "speech", 96, WindowSettings())
    second = voice[0, : len(track) * RATE // WindowSettings().sample_rate]
    assert rms_db(track) == pytest.approx(rms_db(second), abs=1)
    clip = Clip("a", np.zeros((1, 2, 2, 3), np.uint8), np.zeros(1), Fraction(24), voice, RATE)
    assert rms_db(clip.mono(16000)) == pytest.approx(rms_db(voice), abs=1)


def test_the_film_with_speech_out_of_phase_has_speech_in_it() -> None:
    made, wave = cut_whole(fault("15_speech_out_of_phase.mp4"))
    stage = DemixingStage(DemixingSettings())
    stage.three, stage.two = three(), two()
    a, b = stage._separated(wave, made.sample_rate, 1)
    assert rms_db(a.speech) > -45
    assert rms_db(b.speech) > -45
    assert LiteDiarizer().diarize(mono(a.speech), made.sample_rate).turns
