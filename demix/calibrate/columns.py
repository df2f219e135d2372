"""The scores that thresholds are held against, as one column a setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from demix.report.manifests import Judged
from demix.report.scores import Keeps, Rule, rules_of, scores_of

FIXED = ("length.min_seconds",)
"""Not proposed unless asked for: a clip must last as long as a training sample, whatever else is wanted."""


NEVER: dict[str, float] = {"voice_over.min_covered_share": 0.0}
"""Setting -> the value that passes whatever: speech with nobody in sight at all is a voice-over at any threshold."""


@dataclass(frozen=True)
class Column:
    """One setting that drops clips. `values[i]` is what it judges of clip i, the worst where it judges several scores;
    NaN where it judges nothing of that clip, or an earlier stage had dropped it."""

    setting: str
    keeps: Keeps
    threshold: float
    values: np.ndarray

    @property
    def judged(self) -> np.ndarray:
        """Boolean: clips of which the setting judges anything."""
        return ~np.isnan(self.values)

    def passes(self, threshold: float) -> np.ndarray:
        """Boolean, one a clip; what is not judged passes."""
        good = self.values >= threshold if self.keeps == "at_least" else self.values <= threshold
        return good | ~self.judged

    def losing(self, share: float) -> float:
        """The threshold that drops `share`, 0..1, of the clips that the setting judges."""
        judged = self.values[self.judged]
        if self.setting in NEVER and (judged > NEVER[self.setting]).any():
            judged = np.maximum(judged, judged[judged > NEVER[self.setting]].min())
        if self.keeps == "at_least":
            return float(np.quantile(judged, share, method="lower"))
        return float(np.quantile(judged, 1 - share, method="higher"))

    def stricter(self, threshold: float) -> float:
        """The stricter one of `threshold` and that of the build."""
        return (max if self.keeps == "at_least" else min)(threshold, self.threshold)

    def looser(self, threshold: float) -> float:
        return (min if self.keeps == "at_least" else max)(threshold, self.threshold)

    def neater(self, threshold: float) -> float:
        """`threshold` with three digits, on its looser side: what passed still passes."""
        step = 10.0 ** (np.floor(np.log10(abs(threshold))) - 2) if threshold else 1.0
        steps = np.floor(threshold / step) if self.keeps == "at_least" else np.ceil(threshold / step)
        near = float(f"{steps * step:.6g}")
        return near if bool((self.passes(near) >= self.passes(threshold)).all()) else threshold


@dataclass(frozen=True)
class Columns:
    """Clips that were judged, in the order of the manifests."""

    ids: tuple[str, ...]
    eligible: np.ndarray
    """Boolean: kept, or dropped by one of the settings; something else has dropped the others for good."""
    columns: tuple[Column, ...]

    @property
    def current(self) -> dict[str, float]:
        """The thresholds of the build."""
        return {column.setting: column.threshold for column in self.columns}

    def passing(self, thresholds: Mapping[str, float]) -> np.ndarray:
        """Boolean: clips that pass these thresholds (setting -> value; those not named stay). A clip that was dropped
        before all was measured counts by what is known of it: more than that it cannot become."""
        good = self.eligible.copy()
        for column in self.columns:
            good &= column.passes(thresholds.get(column.setting, column.threshold))
        return good


def columns_of(clips: Iterable[Judged], config: Mapping[str, Any]) -> Columns:
    """Every setting of a build's `config` that drops clips, and the clips that it judged."""
    rules = {key: rule for key, found in rules_of(config).items() for rule in found if rule.effect == "drops"}
    judged: dict[str, list[float]] = {rule.setting: [] for rule in rules.values()}
    stages = {setting.partition(".")[0] for setting in judged}
    ids, eligible = [], []
    for clip in clips:
        scores = scores_of(clip, config)
        if clip.outcome == "failed" or not any(key in scores for key in rules):
            continue
        ids.append(clip.id)
        eligible.append(clip.outcome == "kept" or clip.stage in stages)
        worst = _worst(scores, rules)
        for setting, values in judged.items():
            values.append(worst.get(setting, np.nan))
    by_setting = {rule.setting: rule for rule in rules.values()}
    columns = tuple(
        Column(setting, by_setting[setting].keeps, by_setting[setting].threshold, np.array(values))
        for setting, values in judged.items()
        if not np.isnan(values).all()
    )
    return Columns(tuple(ids), np.array(eligible, bool), columns)


def _worst(scores: Mapping[str, float], rules: Mapping[str, Rule]) -> dict[str, float]:
    """Setting -> the score that it would drop a clip for first."""
    worst: dict[str, float] = {}
    for key, rule in rules.items():
        if key in scores:
            choose = min if rule.keeps == "at_least" else max
            worst[rule.setting] = choose(worst.get(rule.setting, scores[key]), scores[key])
    return worst
