"""Music told from effects, on sounds and seeds that the fit did not see."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest

from demix.media.audio import rms_db
from demix.models.demixing import background, kinds
from tests.sounds import EFFECTS, MUSIC, at_level

RATE = 22050
UNSEEN = 10**7


def sound(kind: str, seconds: float = 7) -> np.ndarray:
    maker = {**MUSIC, **EFFECTS}[kind]
    wave = maker(np.random.default_rng(UNSEEN), int(seconds * RATE), RATE)
    return at_level(wave, -22)[np.newaxis]


def divided(rest: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    return background.divide(rest, np.zeros_like(rest), RATE)


@pytest.mark.parametrize("kind", ["piano", "strings", "organ", "solo"])
def test_notes_are_music_and_nothing_else(kind: str) -> None:
    rest = sound(kind)
    effects, music, confidence = divided(rest)
    np.testing.assert_array_equal(music, rest)
    assert not effects.any()
    assert confidence["music"] > 0.8


@pytest.mark.parametrize("kind", ["wind", "rain", "water", "impacts", "engine", "birds", "animal"])
def test_what_has_no_notes_is_effects_and_nothing_else(kind: str) -> None:
    rest = sound(kind)
    effects, music, confidence = divided(rest)
    np.testing.assert_array_equal(effects, rest)
    assert not music.any()
    # A few short sounds in a clip are little evidence, and the confidence says so.
    assert confidence["effects"] > (0.2 if kind in ("impacts", "animal") else 0.5)


def test_both_at_once_are_both_heard_and_not_trusted() -> None:
    """The parting mask is crude: each stem must be nearer to its own sound than to the other's, and the record says
    that neither is sure."""
    strings, rain = sound("strings"), sound("rain")
    effects, music, confidence = divided(strings + rain)
    np.testing.assert_allclose(effects + music, strings + rain, atol=1e-6)
    assert np.corrcoef(music[0], strings[0])[0, 1] > np.corrcoef(music[0], rain[0])[0, 1]
    assert np.corrcoef(effects[0], rain[0])[0, 1] > np.corrcoef(effects[0], strings[0])[0, 1]
    assert confidence["music"] < 0.5 > confidence["effects"]


def test_silence_holds_surely_nothing() -> None:
    rest = at_level(sound("rain"), -70)
    effects, music, confidence = divided(rest)
    assert rms_db(effects) < -60
    assert not music.any()
    assert confidence == {"effects": 1.0, "music": 1.0}
    *_, under_a_voice = background.divide(rest, np.ones_like(rest), RATE)
    assert under_a_voice == {"effects": 0.5, "music": 0.5}


def test_with_hardly_a_moment_free_of_speech_the_judge_is_not_sure() -> None:
    rest = sound("strings")
    speech = np.tile(at_level(np.random.default_rng(0).normal(size=rest.shape), -20), 1)
    speech[:, : RATE // 4] = 0
    *_, confidence = background.divide(rest, speech, RATE)
    assert confidence["music"] < 0.5 > confidence["effects"]


def test_the_numbers_belong_to_the_features() -> None:
    fitted = json.loads(resources.files("demix.models.demixing").joinpath("kinds.json").read_text())
    assert tuple(fitted["features"]) == kinds.FEATURES
    for judge in fitted["judges"].values():
        assert {member["left_out"] for member in judge["members"]} == {*MUSIC, *EFFECTS}
        assert all(len(member["coefficients"]) == len(kinds.FEATURES) for member in judge["members"])


def test_features_do_not_depend_on_loudness() -> None:
    wave = sound("piano")[0]
    np.testing.assert_allclose(kinds.measure(wave), kinds.measure(0.1 * wave), atol=0.02)


def test_features_of_a_tuned_chord_and_of_a_glide() -> None:
    """Held partials on the semitone grid against a pitch that never rests."""
    time = np.arange(4 * RATE) / RATE
    notes = [sum(np.sin(2 * np.pi * 440 * 2 ** (n / 12) * time) for n in chord) for chord in ((0, 4, 7), (2, 5, 9))]
    chords = np.concatenate(notes).astype(np.float32)
    glide = np.sin(2 * np.pi * np.cumsum(400 + 300 * time) / RATE).astype(np.float32)
    of_chords, of_glide = (dict(zip(kinds.FEATURES, kinds.measure(wave), strict=True)) for wave in (chords, glide))
    assert of_chords["held"] > 0.9
    assert of_chords["grid"] > 0.9
    assert of_glide["held"] < 0.1
    assert of_glide["gliding"] > of_chords["gliding"]
