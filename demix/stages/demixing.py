"""Demixing (paper section 3, "Demixing filtering"): one stage takes the sound apart twice, one compares the answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from demix.config import Added, ChosenBy, ConfigError, Settings
from demix.media.audio import SILENCE_DB, read_wave, rms_db, write_flac
from demix.media.stereo import StereoImage
from demix.models import choose, revisions
from demix.models.demixing import ThreeStemDemixer, ThreeStems, TwoStemDemixer, TwoStems
from demix.models.demixing.settings import (
    BanditPlusSettings,
    Cdx23Settings,
    SpleeterPackageSettings,
    SpleeterSettings,
)
from demix.records import ClipMedia, DemixCheck, Demixing, Distance, Media
from demix.stage import Context, Dropped, Item, Kept, Outcome, Resources, Stage

COMMON_BAND_HZ = 11000.0
"""Never compare above this: the paper's second demixer (Spleeter) leaves nothing above 11025 Hz."""
MAX_GAIN_MATCH = 2.0
"""Gain matching stays within +-6 dB: a track that is missing is a disagreement, not a matter of gain."""
PEAK = 1 - 2**-15
"""The largest sample that 16 bits hold on both sides."""
TRACKS = ("speech", "effects", "music")


def l1_distance(a: np.ndarray, b: np.ndarray, mix: np.ndarray, sample_rate: int, band_hz: float) -> Distance:
    """How far two estimates of one track are apart; 0 is equal.

    `a`, `b`, `mix`: (channels, samples) at one `sample_rate` (Hz); all three are low-passed at `band_hz` first, so that
    a model that leaves out the treble is not punished for it. `raw` = mean|a-b| / mean|mix|; `normalised` is the same
    after `b` was brought to the level of `a` (at most 6 dB either way); `relative` = mean|a-b| over the louder one's
    mean. A mix without sound gives 0.
    """
    if not a.shape == b.shape == mix.shape:
        raise ValueError(f"tracks and mix differ in shape: {a.shape}, {b.shape}, {mix.shape}")
    a, b, mix = (low_pass(wave, sample_rate, band_hz) for wave in (a, b, mix))
    loudness = float(np.abs(mix).mean()) if mix.size else 0.0
    if loudness < 10 ** (SILENCE_DB / 20):
        return Distance(raw=0.0, normalised=0.0, relative=0.0)
    level_a, level_b = np.sqrt(np.mean(np.square(a))), np.sqrt(np.mean(np.square(b)))
    gain = np.clip(level_a / level_b, 1 / MAX_GAIN_MATCH, MAX_GAIN_MATCH) if level_b > 0 else 1.0
    apart, louder = float(np.abs(a - b).mean()), max(float(np.abs(a).mean()), float(np.abs(b).mean()))
    return Distance(
        raw=apart / loudness,
        normalised=float(np.abs(a - gain * b).mean()) / loudness,
        relative=apart / louder if louder > 0 else 0.0,
    )


def low_pass(wave: np.ndarray, sample_rate: int, band_hz: float) -> np.ndarray:
    """Everything above `band_hz` removed, linear phase, no delay, float64; unchanged where the rate ends earlier."""
    from scipy import signal  # takes a second to import, and who only judges needs none of it

    wave = wave.astype(np.float64)
    if band_hz >= 0.49 * sample_rate or wave.shape[-1] == 0:
        return wave
    taps = signal.firwin(255, band_hz, fs=sample_rate)
    return signal.oaconvolve(wave, taps[np.newaxis], mode="full", axes=-1)[..., 127 : 127 + wave.shape[-1]]


class DemixingSettings(Settings):
    """Who takes the sound apart."""

    three: str = "lite"
    """Model A, role `demix_three`: speech, effects, music. `lite` needs no weights; `cdx23` is the paper's,
    `bandit_plus` the strongest with an open licence."""

    two: str = "lite"
    """Model B, role `demix_two`: speech, others; the second witness, built differently from A. `lite` needs no weights;
    `spleeter` is the paper's, `spleeter_package` the same by the package itself."""

    cdx23: Annotated[Cdx23Settings, ChosenBy("three")] = Cdx23Settings()
    bandit_plus: Annotated[BanditPlusSettings, ChosenBy("three")] = BanditPlusSettings()
    spleeter: Annotated[SpleeterSettings, ChosenBy("two")] = SpleeterSettings()
    spleeter_package: Annotated[SpleeterPackageSettings, ChosenBy("two")] = SpleeterPackageSettings()


class DemixingStage(Stage):
    """Runs both demixers, writes A's three stems, records levels and all distances; decides nothing."""

    name = "demixing"
    needs = (ClipMedia,)
    adds = Demixing
    settings: DemixingSettings

    def __init__(self, settings: DemixingSettings):
        super().__init__(settings)
        self.choices = (
            choose("demix_three", settings.three, settings),
            choose("demix_two", settings.two, settings),
        )

    @property
    def resources(self) -> Resources:  # type: ignore[override]
        three, two = self.choices
        return three.resources.beside(two.resources)

    def revision(self) -> str:
        return revisions(*self.choices)

    def weights(self) -> tuple[str, ...]:
        return tuple(name for choice in self.choices for name in choice.weights)

    def programs(self) -> tuple[tuple[str, str], ...]:
        return tuple(program for choice in self.choices for program in choice.programs)

    def media(self, record: Demixing) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(getattr(record, track).key for track in TRACKS)

    def open(self, context: Context) -> None:
        super().open(context)
        three, two = self.choices
        self.three: ThreeStemDemixer = three.make(context.device)
        self.two: TwoStemDemixer = two.make(context.device)
        self.credits = three.credit(), two.credit()

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [self._demix(item) for item in items]

    def _demix(self, item: Item) -> Outcome:
        mix, sample_rate = read_wave(self.context.store.local(item[ClipMedia].mix.key))
        three, two = self._separated(mix, sample_rate, seed_of(item.clip.id))
        stems = {track: getattr(three, track) for track in TRACKS}
        gain = min(1.0, PEAK / max(1e-9, *(float(np.abs(stem).max(initial=0)) for stem in stems.values())))
        media = {track: self._write(item, track, gain * stem, sample_rate) for track, stem in stems.items()}
        return Kept(
            Demixing(
                three=self.credits[0],
                two=self.credits[1],
                **media,
                levels_db=levels_db(mix, stems, two),
                distances=distances(mix, three, two, sample_rate, self._band_hz()),
                residual_db=rms_db(mix.astype(np.float64) - sum(stem.astype(np.float64) for stem in stems.values())),
                gain_db=float(20 * np.log10(gain)),
                confidence=three.confidence,
            )
        )

    def _separated(self, mix: np.ndarray, sample_rate: int, seed: int) -> tuple[ThreeStems, TwoStems]:
        """Both answers, in the shape of the mix. The demixers get it without faults of its stereo image, which no
        demixer was made for: speech in opposite phase, or in one of two channels."""
        image = StereoImage.of(mix)
        aligned = image.aligned(mix)
        three = self.three.separate(aligned, sample_rate, seed)
        two = self.two.separate(aligned, sample_rate, seed)
        stems = {track: getattr(three, track) for track in TRACKS}
        stems |= {"two_speech": two.speech, "two_others": two.others}
        for name, wave in stems.items():
            if wave.shape != aligned.shape:
                raise ValueError(f"the demixer's {name} has the shape {wave.shape}, the mix {aligned.shape}")
        whole = {name: image.restored(stem) for name, stem in stems.items()}
        return (
            replace(three, speech=whole["speech"], effects=whole["effects"], music=whole["music"]),
            replace(two, speech=whole["two_speech"], others=whole["two_others"]),
        )

    def _band_hz(self) -> float:
        return min(self.three.bandwidth_hz, self.two.bandwidth_hz, COMMON_BAND_HZ)

    def _write(self, item: Item, track: str, wave: np.ndarray, sample_rate: int) -> Media:
        key = self.context.key(item, f"{track}.flac")
        with self.context.store.write(key) as path:
            write_flac(path, wave, sample_rate)
            return Media(key=key, bytes=path.stat().st_size)


def seed_of(clip_id: str) -> int:
    """32 bits that depend on the clip alone."""
    return int.from_bytes(hashlib.blake2b(clip_id.encode(), digest_size=4).digest())


def levels_db(mix: np.ndarray, stems: Mapping[str, np.ndarray], two: TwoStems) -> dict[str, float]:
    """Levels before the common gain, so that they are on the mix's scale."""
    waves = {"mix": mix, **stems, "two_speech": two.speech, "two_others": two.others}
    return {name: rms_db(wave) for name, wave in waves.items()}


def distances(
    mix: np.ndarray, three: ThreeStems, two: TwoStems, sample_rate: int, band_hz: float
) -> dict[str, Distance]:
    """All three pairs, also those that the paper's rule will not compare: a later rule may."""
    pairs = {
        "speech": (three.speech, two.speech),
        "others_effects": (three.effects, two.others),
        "others_music": (three.music, two.others),
    }
    return {name: l1_distance(a, b, mix, sample_rate, band_hz) for name, (a, b) in pairs.items()}


class MaxDistance(Settings):
    """Largest distance at which two demixers agree. The paper gives no numbers; `lite` has its own, which
    benchmarks/results/demix_check.md justifies. `speech` and `others` are mean|a-b| / mean|mix|."""

    speech: float = 0.3
    """Between the two speech tracks."""

    others: float = 0.3
    """Between the second demixer's others and the first one's effects or music."""

    speech_relative: Annotated[float | None, Added()] = Field(default=None, ge=0)
    """Between the two speech tracks, over mean|the louder one| instead of the mix: it notices a faint voice that only
    one of the two found. Not asked where both are silent. None: no limit."""


class DemixFilterSettings(Settings):
    """When two demixers disagree too much."""

    silence_db: float = -45.0
    """A track below this level (dBFS, RMS over the whole clip) is silent. The paper's value."""

    distance: Literal["raw", "normalised"] = "raw"
    """Which distance `max_distance.speech` and `max_distance.others` judge: relative to the mix, or the same with
    levels made equal."""

    max_distance: MaxDistance = MaxDistance()


class DemixFilter(Stage):
    """The paper's rule: speech against speech; others against effects where music is silent, against music where
    effects are silent; dropped if any of these is too far apart."""

    name = "demix_filter"
    needs = (Demixing,)
    adds = DemixCheck
    reasons = ("demix_disagreement",)
    judges = True
    settings: DemixFilterSettings

    def __init__(self, settings: DemixFilterSettings):
        super().__init__(settings)

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [self._judge(item[Demixing]) for item in items]

    def _judge(self, demixing: Demixing) -> Outcome:
        silent = tuple(track for track in TRACKS if demixing.levels_db[track] < self.settings.silence_db)
        compared = comparable(silent, demixing.levels_db["two_others"] < self.settings.silence_db)
        found = {pair: getattr(demixing.distances[pair], self.settings.distance) for pair in demixing.distances}
        limit = self.settings.max_distance
        far = self._apart(demixing) > (limit.speech_relative or 0.0)
        if far or any(found[pair] > (limit.speech if pair == "speech" else limit.others) for pair in compared):
            return Dropped("demix_disagreement", self._evidence(demixing, silent, compared))
        return Kept(DemixCheck(silent=silent, compared=compared))

    def _apart(self, demixing: Demixing) -> float:
        """Distance of the speech tracks relative to the louder one; 0 where both are silent, or where no limit asks."""
        if self.settings.max_distance.speech_relative is None or not demixing.hears_speech(self.settings.silence_db):
            return 0.0
        found = demixing.distances["speech"].relative
        if found is None:
            raise ConfigError(
                "demix_filter.max_distance.speech_relative: an earlier version demixed these clips and did not measure "
                "this distance; set it to null, or build into a new dataset"
            )
        return found

    def _evidence(
        self, demixing: Demixing, silent: tuple[str, ...], compared: tuple[str, ...]
    ) -> dict[str, float | int | str]:
        evidence: dict[str, float | int | str] = {"compared": " ".join(compared), "silent": " ".join(silent)}
        for pair, distance in demixing.distances.items():
            evidence |= {f"{pair}_{name}": value for name, value in distance if isinstance(value, float)}
        evidence |= {f"{track}_db": level for track, level in demixing.levels_db.items()}
        if self.settings.max_distance.speech_relative is not None:
            evidence["max_distance_speech_relative"] = self.settings.max_distance.speech_relative
        return evidence | {
            "judged": self.settings.distance,
            "max_distance_speech": self.settings.max_distance.speech,
            "max_distance_others": self.settings.max_distance.others,
            "silence_db": self.settings.silence_db,
        }


def comparable(silent: Sequence[str], others_silent: bool) -> tuple[str, ...]:
    """The pairs that the paper's rule compares, given which of A's tracks are silent and whether B's others are.

    Where music and effects are both silent both conditions of the rule hold, so `others` is compared with both. If
    it is silent too the models agree that there is nothing, and the L1 of two faint remains would say nothing.
    """
    pairs = ["speech"]
    if others_silent and "music" in silent and "effects" in silent:
        return tuple(pairs)
    if "music" in silent:
        pairs.append("others_effects")
    if "effects" in silent:
        pairs.append("others_music")
    return tuple(pairs)
