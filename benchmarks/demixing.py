"""How well the `lite` demixers do, on mixtures whose stems are known.

    python -m benchmarks.demixing [--media FOLDER] [--mixtures 40] [--seconds 8] [--write]

Without `--media` everything is generated: eSpeak voices, music and effects. FOLDER holds `speech/`, `music/` and
`effects/` with recordings that libsndfile reads.
`--write` puts the outcome into benchmarks/results/demixing.md.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import torch

from demix.media.audio import resample, rms_db
from demix.models.demixing.lite_three import LiteThree
from demix.models.demixing.lite_two import LiteTwo
from demix.stages.demixing import COMMON_BAND_HZ, l1_distance
from tests.films.speech import LINES, VOICES, say
from tests.sounds import EFFECTS, MUSIC, at_level

RATE = 44100
SILENT_DB = -45.0
RESULT = Path(__file__).parent / "results/demixing.md"
NOTES = """## How to read this

- The written result's recordings are ten voices, two pieces of music and four effects. No coefficient was fitted on
  them, but the thresholds of speech were chosen on mixtures of them, and of two fits of the
  music/effects judges the one that did better on them was kept: expect less on other material.
- Speech against the rest works, also where it is faint; impacts that sound only while somebody speaks stay in the
  speech track (the worst cases above).
- Which of music and effects is there is right nearly always when the confidence is above .5, and little better than a
  guess below; music with drums and effects under music are the hard cases, and parting the two within one clip is
  crude (its confidence is .4 at most).
- The distances include clips without speech, where both models answer exact silence as a rule.
- As both models give the rest by subtraction, `others` against effects (or music) repeats the speech distance whenever
  the other one of the two is silent: with this pair the second comparison of the paper's rule adds no evidence.
"""


@dataclass
class Mixture:
    """True stems, float32 (2, samples); an absent one is all zeros."""

    label: str
    stems: dict[str, np.ndarray]

    @property
    def mix(self) -> np.ndarray:
        return sum(self.stems.values())  # type: ignore[return-value]


@dataclass
class Outcome:
    improvement: dict[str, list[float]] = field(default_factory=lambda: {"A": [], "B": []})
    distances: list[float] = field(default_factory=list)
    normalised: list[float] = field(default_factory=list)
    silent_when_absent: dict[str, list[bool]] = field(
        default_factory=lambda: {"speech": [], "effects": [], "music": []}
    )
    loud_when_present: dict[str, list[bool]] = field(default_factory=lambda: {"speech": [], "effects": [], "music": []})
    decisions: list[tuple[float, bool]] = field(default_factory=list)
    """(confidence, right) of "is there music" and "are there effects"."""
    cpu: float = 0.0
    seconds: float = 0.0


def si_sdr(estimate: np.ndarray, truth: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019); an all-zero estimate is a miss, -60."""
    estimate, truth = estimate.ravel().astype(np.float64), truth.ravel().astype(np.float64)
    if not estimate.any():
        return -60.0
    target = (estimate @ truth) / (truth @ truth) * truth
    return float(10 * np.log10((target @ target) / (np.sum((estimate - target) ** 2) + 1e-12) + 1e-12))


def recordings(folder: Path) -> dict[str, list[tuple[str, np.ndarray]]]:
    """kind -> (name, stereo wave at RATE) of every readable file below `folder`/kind."""
    found: dict[str, list[tuple[str, np.ndarray]]] = {}
    for kind in ("speech", "music", "effects"):
        found[kind] = []
        for path in sorted((folder / kind).iterdir()):
            wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
            found[kind].append(
                (path.stem[:14], np.repeat(resample(wave.T, rate, RATE), 3 - min(wave.shape[1], 2), 0)[:2])
            )
    return found


def real_mixture(index: int, seconds: float, sounds: dict[str, list[tuple[str, np.ndarray]]]) -> Mixture:
    """Every combination in turn: speech with music, effects or both, and each of them alone."""
    random = np.random.default_rng(index)
    cases = ("speech+music", "speech+effects", "speech+music+effects", "music", "effects", "speech", "music+effects")
    case = cases[index % len(cases)]
    samples = int(seconds * RATE)
    stems = {kind: np.zeros((2, samples), np.float32) for kind in ("speech", "effects", "music")}
    names = []
    for kind in case.split("+"):
        name, wave = sounds[kind][int(random.integers(len(sounds[kind])))]
        level = -23.0 if kind == "speech" else -23.0 - float(random.choice([0, 5, 10]) if "speech" in case else 0)
        stems[kind] = placed(wave, samples, kind, level, random)
        names.append(name)
    return Mixture(f"{case}: {' + '.join(names)}", stems)


def placed(wave: np.ndarray, samples: int, kind: str, level: float, random: np.random.Generator) -> np.ndarray:
    """A random span at a level; speech once with pauses around it, backgrounds repeated to fill the time. What is mono
    stays in the middle if it is speech and is panned otherwise."""
    if kind == "speech":
        part = wave[:, : samples - RATE]
        start = int(random.integers(RATE // 3, max(samples - part.shape[1], RATE // 3 + 1)))
        return np.pad(at_level(part, level), ((0, 0), (start, samples)))[:, :samples]
    repeated = np.tile(wave, (1, -(-2 * samples // wave.shape[1])))
    start = int(random.integers(0, max(wave.shape[1] - samples, 1)))
    part = repeated[:, start : start + samples]
    if np.array_equal(part[0], part[1]):
        part = part * random.uniform([0.4, 0.4], [1, 1])[:, None]
    return at_level(part, level)


def generated_mixture(index: int, seconds: float) -> Mixture:
    """Music, effects, or both within 6 dB, every other time with a sentence; other seeds than those of `fit_kinds`."""
    random = np.random.default_rng(10**6 + index)
    samples = int(seconds * RATE)
    stems = {kind: np.zeros((2, samples), np.float32) for kind in ("speech", "effects", "music")}
    names = []
    for kind, makers in (("music", MUSIC), ("effects", EFFECTS)):
        if index % 3 == (1 if kind == "music" else 0):
            continue
        name = sorted(makers)[index // 3 % len(makers)]
        wave = at_level(makers[name](random, samples, RATE), -25 + random.uniform(-3, 3))
        stems[kind] = wave * random.uniform([0.4, 0.4], [1, 1]).astype(np.float32)[:, None]
        names.append(name)
    if index % 2:
        voice = sorted(VOICES)[index // 2 % len(VOICES)]
        sentence = at_level(say(voice, index % len(LINES), RATE), -22)
        stems["speech"] = np.tile(np.pad(sentence, (RATE, samples))[:samples], (2, 1))
        names.append(voice)
    return Mixture(" + ".join(names), stems)


def run(mixtures: list[Mixture], verbose: bool) -> Outcome:
    three, two, outcome = LiteThree(), LiteTwo(), Outcome()
    for mixture in mixtures:
        mix = mixture.mix
        begin = time.process_time()
        a = three.separate(mix, RATE, 0)
        b = two.separate(mix, RATE, 0)
        outcome.cpu += time.process_time() - begin
        outcome.seconds += mix.shape[1] / RATE
        distance = l1_distance(a.speech, b.speech, mix, RATE, COMMON_BAND_HZ)
        outcome.distances.append(distance.raw)
        outcome.normalised.append(distance.normalised)
        line = [f"{mixture.label:60.60}", f"distance {distance.raw:.3f}"]
        truth, background = mixture.stems["speech"], mixture.stems["effects"].any() or mixture.stems["music"].any()
        if truth.any() and background:
            before = si_sdr(mix, truth)
            for name, speech in (("A", a.speech), ("B", b.speech)):
                outcome.improvement[name].append(si_sdr(speech, truth) - before)
                line.append(f"{name} {outcome.improvement[name][-1]:+.1f} dB")
        for kind, stem in (("speech", a.speech), ("effects", a.effects), ("music", a.music)):
            here = bool(mixture.stems[kind].any())
            heard = rms_db(stem) >= SILENT_DB
            (outcome.loud_when_present if here else outcome.silent_when_absent)[kind].append(heard == here)
            if kind != "speech" and background:
                outcome.decisions.append((a.confidence[kind], heard == here))
            line.append(f"{kind} {'right' if heard == here else 'WRONG'} {a.confidence[kind]:.2f}")
        if verbose:
            print("  ".join(line), flush=True)
    return outcome


def table(title: str, outcome: Outcome) -> str:
    """The outcome as Markdown."""
    lines = [f"## {title}", ""]
    for name, gains in outcome.improvement.items():
        if gains:
            tenth, median = np.percentile(gains, [10, 50])
            lines.append(
                f"- Speech, model {name}: SI-SDR improvement median {median:.1f} dB, worst tenth {tenth:.1f}, "
                f"worst {min(gains):.1f} ({len(gains)} mixtures)"
            )
    for kind in ("speech", "effects", "music"):
        absent, present = outcome.silent_when_absent[kind], outcome.loud_when_present[kind]
        lines.append(
            f"- {kind}: below {SILENT_DB:.0f} dBFS where absent {sum(absent)}/{len(absent)}, "
            f"above where present {sum(present)}/{len(present)}"
        )
    for low, high in ((0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.01)):
        right = [ok for confidence, ok in outcome.decisions if low <= confidence < high]
        if right:
            span = f"{low:.2f}-{min(high, 1):.2f}"
            lines.append(f"- music/effects decisions at confidence {span}: {np.mean(right):.2f} right of {len(right)}")
    quantiles = np.percentile(outcome.distances, [50, 75, 90, 95])
    lines.append(
        "- L1 distance of the speech tracks, raw: median, 75 %, 90 %, 95 %: " + ", ".join(f"{q:.3f}" for q in quantiles)
    )
    quantiles = np.percentile(outcome.normalised, [50, 75, 90, 95])
    lines.append("- the same, normalised: " + ", ".join(f"{q:.3f}" for q in quantiles))
    lines.append(
        f"- CPU seconds per second of stereo sound: {outcome.cpu / outcome.seconds:.3f} for both; what both ask is "
        "asked once"
    )
    return "\n".join([*lines, ""])


def parser_of(description: str | None, mixtures: int, result: Path) -> argparse.ArgumentParser:
    """The options of a benchmark on mixtures."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, help="folder with speech/, music/ and effects/")
    parser.add_argument("--mixtures", type=int, default=mixtures)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--verbose", action="store_true", help="one line a mixture")
    parser.add_argument("--write", action="store_true", help=f"write {result.name}")
    return parser


def main() -> None:
    arguments = parser_of(__doc__, 42, RESULT).parse_args()
    torch.set_num_threads(1)
    generated = [generated_mixture(index, arguments.seconds) for index in range(arguments.mixtures)]
    parts = [
        table(
            "Generated: eSpeak voices, other seeds of the sounds that the judges learnt from",
            run(generated, arguments.verbose),
        )
    ]
    if arguments.media:
        sounds = recordings(arguments.media)
        real = [real_mixture(index, arguments.seconds, sounds) for index in range(arguments.mixtures)]
        parts.append(table("Real recordings", run(real, arguments.verbose)))
    print("\n".join([*parts, NOTES]))
    if arguments.write:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(
            "# Demixing, `lite`\n\n`python -m benchmarks.demixing`, one CPU thread.\n\n" + "\n".join(parts)
        )


if __name__ == "__main__":
    main()
