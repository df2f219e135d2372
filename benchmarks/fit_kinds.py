"""Derives `demix/models/demixing/kinds.json`, the numbers by which the `lite` demixer tells music from effects.

    python -m benchmarks.fit_kinds [--clips 700] [--write]

Everything it learns from is generated (`tests/sounds.py`); no recording is used. Two logistic regressions on the
features of `kinds.py` answer "is there music?" and "are there effects?". As generated sounds are not real ones, the fit
is repeated with every kind of sound left out once: the committed answer is the mean of those members, and its
temperature is the one at which answers about kinds that a member never heard are best calibrated.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import optimize
from sklearn.linear_model import LogisticRegression

from demix.models.demixing.kinds import FEATURES, RATE, measure
from tests.sounds import EFFECTS, MUSIC, at_level

TARGET = Path(__file__).parents[1] / "demix/models/demixing/kinds.json"


def clip(seed: int) -> tuple[np.ndarray, set[str]]:
    """A background of 4 to 10 s and the kinds in it: music, effects, or both within 12 dB of each other."""
    random = np.random.default_rng(seed)
    samples = int(random.uniform(4, 10) * RATE)
    wave = np.zeros(samples, np.float32)
    kinds: set[str] = set()
    case = random.choice(["music", "effects", "both"], p=[0.35, 0.35, 0.3])
    if case != "effects":
        kind = str(random.choice(sorted(MUSIC)))
        wave += at_level(MUSIC[kind](random, samples, RATE), -20)
        kinds.add(kind)
    if case != "music":
        for _ in range(random.integers(1, 3)):
            kind = str(random.choice(sorted(EFFECTS)))
            wave += at_level(EFFECTS[kind](random, samples, RATE), -20 + random.uniform(-12, 12))
            kinds.add(kind)
    if random.random() < 0.3:
        wave += at_level(random.normal(size=samples), random.uniform(-70, -55))
    return wave, kinds


def fit(features: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients and intercept for features as they are (roughly 0..1), gently regularised."""
    model = LogisticRegression(C=3.0, max_iter=2000).fit(features, answer)
    return model.coef_[0], float(model.intercept_[0])


def leave_one_kind_out(features: np.ndarray, kinds: list[set[str]], answer: np.ndarray) -> tuple[list, np.ndarray]:
    """One member per kind, and for every clip the mean logit of the members that never heard one of its kinds."""
    members, logits = [], [[] for _ in kinds]
    for left in sorted({**MUSIC, **EFFECTS}):
        heard = np.array([left not in here for here in kinds])
        coefficients, intercept = fit(features[heard], answer[heard])
        members.append({"left_out": left, "coefficients": coefficients.tolist(), "intercept": intercept})
        for index in np.flatnonzero(~heard):
            logits[index].append(features[index] @ coefficients + intercept)
    return members, np.array([np.mean(each) for each in logits])


def temperature(logits: np.ndarray, answer: np.ndarray) -> float:
    """The divisor of the logits that makes the answers most likely."""
    sign = np.where(answer, 1, -1)
    return float(
        optimize.minimize_scalar(
            lambda t: np.logaddexp(0, -sign * logits / t).mean(), bounds=(0.5, 20), method="bounded"
        ).x
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=700)
    parser.add_argument("--write", action="store_true", help=f"write {TARGET.name}")
    arguments = parser.parse_args()
    features, kinds = [], []
    for seed in range(arguments.clips):
        wave, here = clip(seed)
        features.append(measure(wave))
        kinds.append(here)
    table = np.array(features)
    judges = {}
    for judge, names in (("music", MUSIC), ("effects", EFFECTS)):
        answer = np.array([bool(here & set(names)) for here in kinds])
        members, logits = leave_one_kind_out(table, kinds, answer)
        divisor = temperature(logits, answer)
        right = (logits > 0) == answer
        sure = np.abs(np.tanh(logits / divisor / 2)) > 0.5
        judges[judge] = {"temperature": divisor, "members": members}
        print(
            f"{judge}: on kinds never heard {right.mean():.3f} right; "
            f"sure of {sure.mean():.3f}, of those {right[sure].mean():.3f} right; temperature {divisor:.2f}"
        )
    if arguments.write:
        TARGET.write_text(json.dumps({"features": FEATURES, "judges": judges}, indent=1) + "\n")


if __name__ == "__main__":
    main()
