"""Both `lite` demixers against stems that are known: eSpeak voices over the films' music and effects, which the judges
of music and effects were not fitted on."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from benchmarks.demixing import si_sdr
from demix.media.audio import rms_db
from demix.models.demixing import ThreeStems, TwoStems
from demix.models.demixing.lite_three import LiteThree, is_speech
from demix.models.demixing.lite_two import LiteTwo
from tests.films import sounds
from tests.films.speech import VOICES, say
from tests.sounds import at_level

RATE = 44100
SECONDS = 6
SILENT_DB = -45
BACKGROUNDS: dict[str, Callable[..., np.ndarray]] = {
    "music": sounds.music,
    "impacts": sounds.impacts,
    "engine": sounds.engine,
    "rain": sounds.rain,
    "birds": sounds.birds,
}


@cache
def three() -> LiteThree:
    return LiteThree()


@cache
def two() -> LiteTwo:
    return LiteTwo()


def stereo(wave: np.ndarray) -> np.ndarray:
    return np.tile(wave, (2, 1)) if wave.ndim == 1 else wave


def speech_stem(voice: str = "astronaut", line: int = 0) -> np.ndarray:
    """One sentence after a second of nothing, in the middle."""
    sentence = at_level(say(voice, line, RATE), -20)
    return stereo(np.pad(sentence, (RATE, SECONDS * RATE))[: SECONDS * RATE])


def background(kind: str, level_db: float = -27) -> np.ndarray:
    return at_level(stereo(BACKGROUNDS[kind](SECONDS, RATE, seed=5)), level_db)


def separated(mix: np.ndarray, sample_rate: int = RATE) -> tuple[ThreeStems, TwoStems]:
    return three().separate(mix, sample_rate, 1), two().separate(mix, sample_rate, 1)


@pytest.mark.parametrize(("voice", "kind"), zip(sorted(VOICES) * 2, BACKGROUNDS, strict=False))
def test_speech_is_nearer_to_the_true_stem_than_the_mix_is(voice: str, kind: str) -> None:
    """By 1.5 dB at least for A and 1 dB for B, whatever is behind the voice."""
    truth = speech_stem(voice, 1)
    mix = truth + background(kind)
    a, b = separated(mix)
    before = si_sdr(mix, truth)
    assert si_sdr(a.speech, truth) >= before + 1.5
    assert si_sdr(b.speech, truth) >= before + 1


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_where_nobody_speaks_speech_is_exactly_silent_and_the_other_absent_track_too(kind: str) -> None:
    mix = background(kind, -22)
    a, b = separated(mix)
    assert not a.speech.any()
    assert not b.speech.any()
    present, absent = (a.music, a.effects) if kind == "music" else (a.effects, a.music)
    assert rms_db(present) == pytest.approx(rms_db(mix), abs=1)
    assert rms_db(absent) < SILENT_DB


def test_speech_alone_leaves_both_other_tracks_silent() -> None:
    a, b = separated(speech_stem("admiral", 2))
    assert rms_db(a.effects) < SILENT_DB
    assert rms_db(a.music) < SILENT_DB
    assert rms_db(b.others) < SILENT_DB


def test_before_and_after_the_sentence_the_speech_track_is_exactly_zero() -> None:
    mix = speech_stem() + background("rain")
    length = len(say("astronaut", 0, RATE))
    for stems in separated(mix):
        assert not stems.speech[:, : RATE // 2].any()
        assert not stems.speech[:, RATE + length + RATE // 2 :].any()


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("sample_rate", [16000, 48000])
def test_stems_have_the_mix_s_shape_and_add_up_to_it(channels: int, sample_rate: int) -> None:
    mix = np.tile(at_level(say("narrator", 3, sample_rate), -20), (channels, 1))[:, : 2 * sample_rate + 123]
    mix += np.random.default_rng(0).normal(0, 0.003, mix.shape).astype(np.float32)
    a, b = separated(mix, sample_rate)
    for stem in (a.speech, a.effects, a.music, b.speech, b.others):
        assert stem.shape == mix.shape
        assert stem.dtype == np.float32
    assert rms_db(mix - (a.speech + a.effects + a.music)) < -110
    assert rms_db(mix - (b.speech + b.others)) < -110
    assert set(a.confidence) == {"speech", "effects", "music"}
    assert all(0 <= value <= 1 for value in a.confidence.values())


@pytest.mark.parametrize("samples", [1, 100, 3000])
@pytest.mark.parametrize("amplitude", [0.0, 0.3])
def test_the_shortest_and_the_emptiest_waves_are_answered(samples: int, amplitude: float) -> None:
    mix = amplitude * np.random.default_rng(1).uniform(-1, 1, (2, samples)).astype(np.float32)
    a, b = separated(mix)
    assert not a.speech.any()
    assert a.effects.shape == a.music.shape == b.others.shape == mix.shape


def test_same_wave_same_bits_whatever_was_heard_before() -> None:
    """Recurrent models must start afresh, and TorchScript must not change its mind when it warms up."""
    mix = speech_stem() + background("music")
    fresh_three, fresh_two = LiteThree(), LiteTwo()
    first = (fresh_three.separate(mix, RATE, 7), fresh_two.separate(mix, RATE, 7))
    for other in (background("engine"), speech_stem("narrator", 4)):
        fresh_three.separate(other, RATE, 7)
        fresh_two.separate(other, RATE, 7)
    again = (fresh_three.separate(mix, RATE, 7), fresh_two.separate(mix, RATE, 7))
    for track in ("speech", "effects", "music"):
        np.testing.assert_array_equal(getattr(first[0], track), getattr(again[0], track))
    assert first[0].confidence == again[0].confidence
    np.testing.assert_array_equal(first[1].speech, again[1].speech)


def test_a_voice_on_one_channel_only_is_not_lost_to_the_stereo_cue() -> None:
    truth = speech_stem() * np.array([[1], [0]], np.float32)
    a = three().separate(truth + 0.001 * background("rain"), RATE, 0)
    assert si_sdr(a.speech, truth) > 10


def test_a_second_of_middling_probability_is_no_speech() -> None:
    """Vibraphones and whales reach that much."""
    assert not is_speech(np.full(100, 0.7, np.float32))
    assert not is_speech(np.r_[np.full(5, 0.99), np.zeros(95)].astype(np.float32))
    assert is_speech(np.r_[np.full(20, 0.99), np.zeros(80)].astype(np.float32))
