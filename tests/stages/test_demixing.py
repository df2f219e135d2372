"""The stage that takes sound apart and the paper's rule that compares the two answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.config import ConfigError
from demix.media.audio import SILENCE_DB, read_wave, rms_db, write_flac
from demix.models.demixing import ThreeStems, TwoStems
from demix.records import Clip, ClipMedia, DemixCheck, Demixing, Distance, Media, Model
from demix.stage import Context, Dropped, Item, Kept
from demix.stages.demixing import (
    DemixFilter,
    DemixFilterSettings,
    DemixingSettings,
    DemixingStage,
    MaxDistance,
    comparable,
    l1_distance,
    low_pass,
    seed_of,
)
from demix.store import Store

RATE = 44100


def noise(seed: int, channels: int = 2, samples: int = RATE) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (channels, samples)).astype(np.float32)


def tone(hertz: float, amplitude: float = 0.1, channels: int = 2) -> np.ndarray:
    wave = amplitude * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)
    return np.tile(wave.astype(np.float32), (channels, 1))


# --- the distance ----------------------------------------------------------------------------------------------------


def test_equal_tracks_are_at_distance_zero_and_a_missing_one_at_its_share_of_the_mix() -> None:
    mix = noise(1)
    assert l1_distance(mix, mix, mix, RATE, 11000) == Distance(raw=0, normalised=0, relative=0)
    missing = l1_distance(mix, 0 * mix, mix, RATE, 11000)
    assert missing.raw == pytest.approx(1)
    assert missing.normalised == pytest.approx(1)
    assert missing.relative == pytest.approx(1)
    assert l1_distance(0.01 * mix, 0 * mix, mix, RATE, 11000).relative == pytest.approx(1)


def test_a_silent_first_track_does_not_agree_with_a_loud_second_one() -> None:
    """Gain matching must not scale a false alarm away."""
    mix = noise(1)
    assert l1_distance(0 * mix, mix, mix, RATE, 11000).normalised >= 0.5


def test_normalised_forgives_a_gain_and_raw_does_not() -> None:
    speech, mix = tone(500), noise(1)
    distance = l1_distance(speech, 0.6 * speech, mix, RATE, 11000)
    assert distance.normalised == pytest.approx(0, abs=1e-6)
    assert distance.raw == pytest.approx(
        0.4 * np.abs(speech).mean() / np.abs(low_pass(mix, RATE, 11000)).mean(), rel=0.05
    )


def test_what_lies_above_the_common_band_does_not_count() -> None:
    """One model leaves out the treble: no disagreement about speech."""
    speech, mix = tone(500), tone(500) + tone(300)
    with_treble = speech + tone(15000)
    inner = slice(500, -500)
    assert np.abs(low_pass(with_treble, RATE, 11000) - low_pass(speech, RATE, 11000))[:, inner].max() < 1e-3
    assert l1_distance(speech, with_treble, mix, RATE, 11000).raw < 0.02
    assert l1_distance(speech, with_treble, mix, RATE, 22050).raw > 0.5


def test_silence_is_at_no_distance_and_shapes_must_agree() -> None:
    silent = np.zeros((2, 1000), np.float32)
    assert l1_distance(silent, silent, silent, RATE, 11000).raw == 0
    assert l1_distance(silent[:, :0], silent[:, :0], silent[:, :0], RATE, 11000).raw == 0
    with pytest.raises(ValueError, match="shape"):
        l1_distance(silent, silent[:1], silent, RATE, 11000)


@settings(deadline=None, max_examples=25)
@given(scale=st.floats(0.01, 1), seeds=st.tuples(st.integers(0, 99), st.integers(100, 199)))
def test_the_distance_does_not_depend_on_the_loudness_of_the_clip(scale: float, seeds: tuple[int, int]) -> None:
    a, b = (noise(seed, 1, 4000).astype(np.float64) for seed in seeds)
    here, there = (l1_distance(k * a, k * b, k * (a + b), RATE, 11000) for k in (1.0, scale))
    assert here.raw == pytest.approx(there.raw)
    assert here.normalised == pytest.approx(there.normalised)


# --- the stage -------------------------------------------------------------------------------------------------------


class FakeThree:
    name, revision, licence, bandwidth_hz = "fake_three", "7", "none", 16000.0
    seeds: tuple[int, ...] = ()

    def separate(self, wave: np.ndarray, sample_rate: int, seed: int) -> ThreeStems:
        FakeThree.seeds += (seed,)
        confidence = {"speech": 1.0, "effects": 0.5, "music": 0.25}
        return ThreeStems(np.float32(2.5) * wave, -wave, np.float32(-0.5) * wave, confidence)


class FakeTwo:
    name, revision, licence, bandwidth_hz = "fake_two", "8", "none", 9000.0

    def separate(self, wave: np.ndarray, sample_rate: int, seed: int) -> TwoStems:
        return TwoStems(wave, 0 * wave)


def clip_item(store: Store, mix: np.ndarray, sample_rate: int = RATE) -> Item:
    with store.write("mix.flac") as path:
        write_flac(path, mix, sample_rate)
    clip = Clip(
        id="0123456789abcdef", source_id="s", uri="u", kind="web", ordinal=0, start_pts=0, end_pts=1, time_base="1/1"
    )
    media = Media(key="mix.flac", bytes=1)
    record = ClipMedia(
        video=media,
        mix=media,
        width=2,
        height=2,
        fps="24",
        frames=24,
        sample_rate=sample_rate,
        channels=len(mix),
        samples=mix.shape[1],
    )
    return Item(clip, {ClipMedia.name: record})


def open_stage(stage: DemixingStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    models = {"demix_three": FakeThree, "demix_two": FakeTwo}
    monkeypatch.setattr("demix.models.model_class", lambda role, name: models[role])
    store = Store(tmp_path)
    stage.open(Context(store=store, fingerprint="f" * 32))
    return store


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_stems_are_written_with_the_mix_s_shape_and_everything_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    stage = DemixingStage(DemixingSettings())
    store = open_stage(stage, tmp_path, monkeypatch)
    mix = noise(3, channels, 30001)
    mix *= 0.9 / np.abs(mix).max()
    item = clip_item(store, mix)
    [outcome] = stage.run([item])
    assert isinstance(outcome, Kept)
    record = outcome.record
    assert isinstance(record, Demixing)
    assert stage.revision() == "fake_three@7+fake_two@8"
    assert (record.three, record.two) == (
        Model(model="fake_three", revision="7"),
        Model(model="fake_two", revision="8"),
    )
    assert set(record.distances) == {"speech", "others_effects", "others_music"}
    assert set(record.levels_db) == {"mix", "speech", "effects", "music", "two_speech", "two_others"}
    assert record.residual_db < -90
    assert record.confidence == {"speech": 1.0, "effects": 0.5, "music": 0.25}
    assert len(stage.media(record)) == 3
    stems = {}
    for key in stage.media(record):
        with store.local(key) as path:
            stems[key], rate = read_wave(path)
        assert rate == RATE
        assert stems[key].shape == mix.shape
    # The fake's speech would peak at 2.25: one gain for all three keeps the sum and the balance.
    speech, effects, music = stems.values()
    assert record.gain_db == pytest.approx(20 * np.log10(1 / 2.25), abs=0.01)
    assert np.abs(speech).max() <= 1
    np.testing.assert_allclose(effects, 2 * music, atol=2**-14)
    np.testing.assert_allclose(speech + effects + music, 10 ** (record.gain_db / 20) * mix, atol=2**-13)
    assert record.levels_db["speech"] == pytest.approx(rms_db(mix) + 20 * np.log10(2.5), abs=0.01)


def test_the_seed_depends_on_the_clip_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = DemixingStage(DemixingSettings())
    store = open_stage(stage, tmp_path, monkeypatch)
    item = clip_item(store, noise(3, 1, 5000))
    FakeThree.seeds = ()
    stage.run([item, item])
    assert FakeThree.seeds == (seed_of(item.clip.id),) * 2
    assert seed_of("a") != seed_of("b")


def test_a_model_that_changes_the_length_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = DemixingStage(DemixingSettings())
    store = open_stage(stage, tmp_path, monkeypatch)
    monkeypatch.setattr(FakeTwo, "separate", lambda self, wave, rate, seed: TwoStems(wave[:, 1:], wave))
    with pytest.raises(ValueError, match="two_speech"):
        stage.run([clip_item(store, noise(3, 1, 5000))])


def test_an_unknown_model_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="lite"):
        DemixingStage(DemixingSettings(three="light")).revision()


# --- the rule --------------------------------------------------------------------------------------------------------


def judged(
    levels: dict[str, float],
    distances: dict[str, float],
    normalised: float = 0.0,
    relative: float | None = None,
    **options: object,
) -> Kept | Dropped:
    media, model = Media(key="k", bytes=1), Model(model="m", revision="1")
    loud = {"mix": -20.0, "speech": -20.0, "effects": -20.0, "music": -20.0, "two_speech": -20.0, "two_others": -20.0}
    raw = {"speech": 0.0, "others_effects": 0.0, "others_music": 0.0} | distances
    record = Demixing(
        three=model,
        two=model,
        speech=media,
        effects=media,
        music=media,
        levels_db=loud | levels,
        distances={pair: Distance(raw=value, normalised=normalised, relative=relative) for pair, value in raw.items()},
        residual_db=SILENCE_DB,
        gain_db=0,
        confidence={},
    )
    clip = Clip(id="c", source_id="s", uri="u", kind="web", ordinal=0, start_pts=0, end_pts=1, time_base="1/1")
    options = {"max_distance": MaxDistance(speech=0.15, others=0.25)} | options
    settings = DemixFilterSettings(**options)  # type: ignore[arg-type]
    [outcome] = DemixFilter(settings).run([Item(clip, {Demixing.name: record})])
    assert isinstance(outcome, Kept | Dropped)
    return outcome


@pytest.mark.parametrize(
    ("silent", "pairs"),
    [
        ((), ("speech",)),
        (("speech",), ("speech",)),
        (("music",), ("speech", "others_effects")),
        (("effects",), ("speech", "others_music")),
        (("effects", "music"), ("speech", "others_effects", "others_music")),
        (("speech", "effects", "music"), ("speech", "others_effects", "others_music")),
    ],
)
def test_each_branch_of_the_paper_s_rule(silent: tuple[str, ...], pairs: tuple[str, ...]) -> None:
    """Every allowed pair drops when it alone is too far apart; every other pair is ignored, however far."""
    assert comparable(silent, others_silent=False) == pairs
    levels = dict.fromkeys(silent, -60.0)
    for pair in ("speech", "others_effects", "others_music"):
        outcome = judged(levels, {pair: 0.9})
        if pair in pairs:
            assert isinstance(outcome, Dropped)
            assert outcome.reason == "demix_disagreement"
        else:
            assert outcome == Kept(DemixCheck(silent=silent, compared=pairs))


@pytest.mark.parametrize(("level", "silent"), [(-45.01, ("music",)), (-45.0, ()), (-44.99, ()), (-120.0, ("music",))])
def test_silence_begins_just_below_the_threshold(level: float, silent: tuple[str, ...]) -> None:
    outcome = judged({"music": level}, {})
    assert isinstance(outcome, Kept)
    assert outcome.record == DemixCheck(silent=silent, compared=comparable(silent, others_silent=False))


def test_three_silent_backgrounds_agree_and_two_do_not() -> None:
    """Faint remains are not compared where both models hear nothing; a loud `others` against two silent tracks is."""
    nothing = {"effects": -60.0, "music": -60.0}
    far = {"others_effects": 0.9, "others_music": 0.9}
    assert isinstance(judged(nothing | {"two_others": -45.01}, far), Kept)
    assert isinstance(judged(nothing | {"two_others": -45.0}, far), Dropped)
    assert isinstance(judged({"music": -60.0, "two_others": -60.0}, far), Dropped)
    assert comparable(("effects", "music"), others_silent=True) == ("speech",)


def test_a_distance_on_its_limit_is_kept_and_each_pair_has_its_own() -> None:
    assert isinstance(judged({}, {"speech": 0.15}), Kept)
    assert isinstance(judged({}, {"speech": 0.1501}), Dropped)
    assert isinstance(judged({"music": -60}, {"others_effects": 0.25}), Kept)
    assert isinstance(judged({"music": -60}, {"others_effects": 0.2501}), Dropped)


def test_the_setting_chooses_which_distance_is_judged() -> None:
    assert isinstance(judged({}, {"speech": 0.9}, normalised=0.1, distance="normalised"), Kept)
    assert isinstance(judged({}, {"speech": 0.1}, normalised=0.9, distance="normalised"), Dropped)


@pytest.mark.parametrize(
    ("relative", "levels", "kept"),
    [
        (0.9, {}, True),
        (0.901, {}, False),
        (1.5, {"speech": -60.0}, False),
        (1.5, {"speech": -60.0, "two_speech": -50.0}, True),
    ],
)
def test_a_faint_voice_that_one_of_two_found_is_noticed(relative: float, levels: dict[str, float], kept: bool) -> None:
    """Relative to the louder estimate, unless both are silent."""
    limits = MaxDistance(speech=0.15, others=0.25, speech_relative=0.9)
    outcome = judged(levels, {"speech": 0.1}, relative=relative, max_distance=limits)
    assert isinstance(outcome, Kept) == kept
    assert isinstance(judged(levels, {"speech": 0.1}, relative=relative), Kept)


def test_a_distance_that_an_earlier_version_did_not_measure_is_asked_for_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match="set it to null"):
        judged({}, {"speech": 0.1}, max_distance=MaxDistance(speech_relative=0.9))


def test_the_evidence_holds_every_number() -> None:
    outcome = judged({"music": -60}, {"speech": 0.9, "others_effects": 0.2, "others_music": 0.3})
    assert isinstance(outcome, Dropped)
    evidence = outcome.evidence
    assert evidence["compared"] == "speech others_effects"
    assert evidence["silent"] == "music"
    assert (evidence["speech_raw"], evidence["others_effects_raw"], evidence["others_music_raw"]) == (0.9, 0.2, 0.3)
    assert (evidence["music_db"], evidence["mix_db"]) == (-60, -20)
    assert (evidence["max_distance_speech"], evidence["max_distance_others"], evidence["silence_db"]) == (
        0.15,
        0.25,
        -45,
    )


@pytest.mark.parametrize("level_db", [-45.01, -44.99])
def test_silence_is_measured_over_the_whole_clip(level_db: float) -> None:
    """A wave built to lie 0.01 dB beside the threshold is on that side of it by `rms_db`."""
    wave = tone(441, np.sqrt(2) * 10 ** (level_db / 20))
    assert (rms_db(wave) < -45) == (level_db < -45)
