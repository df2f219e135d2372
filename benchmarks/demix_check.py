"""Which distance between two demixers' speech tells good pairs from bad ones: the curve behind `max_distance`.

    python -m benchmarks.demix_check [--media FOLDER] [--mixtures 90] [--seconds 8] [--write]

Mixtures of speech with music, effects or both, the background at -10 to +10 dB against the speech; FOLDER as in
benchmarks/demixing.py, without it everything is generated. A pair is good if both `lite` demixers improve the speech by
more than 5 dB SI-SDR, bad if one of them leaves it worse than the mix. Recordings are split into two halves by voice:
look at `even` when a threshold is chosen, at `odd` to see whether it holds. `--write` puts table and picture into
benchmarks/results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.demixing import RATE, Mixture, parser_of, placed, recordings, si_sdr
from demix.models.demixing.lite_three import LiteThree
from demix.models.demixing.lite_two import LiteTwo
from demix.recipe import load_settings
from demix.stages.demixing import COMMON_BAND_HZ, l1_distance
from tests.films.speech import LINES, VOICES, say
from tests.sounds import EFFECTS, MUSIC

GOOD_DB, BAD_DB = 5.0, 0.0
DISTANCES = ("raw", "normalised", "relative")
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8)
RESULT = Path(__file__).parent / "results/demix_check.md"
Sounds = dict[str, list[tuple[str, np.ndarray]]]


@dataclass(frozen=True)
class Pair:
    """Both demixers' answers about one mixture."""

    half: str
    gains: tuple[float, float]
    """SI-SDR improvement of A's and B's speech, dB."""
    distances: dict[str, float]

    @property
    def good(self) -> bool:
        return min(self.gains) > GOOD_DB

    @property
    def bad(self) -> bool:
        return min(self.gains) < BAD_DB


def generated_sounds(seconds: float) -> Sounds:
    """eSpeak voices, music and effects, as `recordings` would read them."""
    random, samples = np.random.default_rng(7), int(2 * seconds * RATE)
    made: Sounds = {
        "speech": [
            (voice, np.tile(say(voice, line, RATE), (2, 1))) for voice in sorted(VOICES) for line in range(len(LINES))
        ]
    }
    for kind, makers in (("music", MUSIC), ("effects", EFFECTS)):
        made[kind] = [
            (name, np.atleast_2d(make(random, samples, RATE)).repeat(2, 0)[:2]) for name, make in makers.items()
        ]
    return made


def mixtures(count: int, seconds: float, sounds: Sounds) -> Iterator[tuple[str, Mixture]]:
    """(half, mixture): speech with music, effects or both in turn, a fifth of a voice's mixtures at each level."""
    samples = int(seconds * RATE)
    for index in range(count):
        random = np.random.default_rng(10_000 + index)
        voice = int(random.integers(len(sounds["speech"])))
        behind = (("music",), ("effects",), ("music", "effects"))[index % 3]
        stems = {kind: np.zeros((2, samples), np.float32) for kind in ("speech", "effects", "music")}
        stems["speech"] = placed(sounds["speech"][voice][1], samples, "speech", -23.0, random)
        for kind in behind:
            wave = sounds[kind][int(random.integers(len(sounds[kind])))][1]
            stems[kind] = placed(wave, samples, kind, -23.0 + 5 * (index // 3 % 5 - 2), random)
        loudest = max(1.0, float(np.abs(sum(stems.values())).max()))
        label = f"{sounds['speech'][voice][0]} + {' + '.join(behind)}"
        yield ("even", "odd")[voice % 2], Mixture(label, {kind: stem / loudest for kind, stem in stems.items()})


def measured(todo: Iterator[tuple[str, Mixture]], verbose: bool) -> list[Pair]:
    three, two, pairs = LiteThree(), LiteTwo(), []
    for half, mixture in todo:
        mix, truth = mixture.mix, mixture.stems["speech"]
        speech = [model.separate(mix, RATE, 0).speech for model in (three, two)]
        before = si_sdr(mix, truth)
        a, b = (si_sdr(wave, truth) - before for wave in speech)
        distance = l1_distance(*speech, mix, RATE, COMMON_BAND_HZ)
        pairs.append(Pair(half, (a, b), {name: getattr(distance, name) for name in DISTANCES}))
        if verbose:
            print(f"{mixture.label:50.50} A {a:+5.1f} B {b:+5.1f} dB  " + str(pairs[-1].distances), flush=True)
    return pairs


def share_below(pairs: Sequence[Pair], distance: str, threshold: float) -> float:
    """Share of the pairs that pass, 0..1; nan of none."""
    return float(np.mean([pair.distances[distance] <= threshold for pair in pairs])) if pairs else float("nan")


def table(pairs: Sequence[Pair]) -> str:
    lines = []
    for half in ("even", "odd"):
        here = [pair for pair in pairs if pair.half == half]
        good, bad = [pair for pair in here if pair.good], [pair for pair in here if pair.bad]
        lines += [
            f"Voices of the half `{half}`: {len(here)} mixtures, {len(good)} good pairs, {len(bad)} bad ones, "
            f"{len(here) - len(good) - len(bad)} between.",
            "",
            "| threshold | " + " | ".join(f"{name}: good kept | bad dropped" for name in DISTANCES) + " |",
            "|---|" + "---|" * (2 * len(DISTANCES)),
        ]
        for threshold in THRESHOLDS:
            cells = [
                f"{share_below(good, name, threshold):.2f} | {1 - share_below(bad, name, threshold):.2f}"
                for name in DISTANCES
            ]
            lines.append(f"| {threshold:g} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join([*lines, together(pairs)])


def kept_and_dropped(pairs: Sequence[Pair]) -> tuple[int, int, int, int]:
    """Under the limits of the `lite` profile: good pairs kept, of how many, bad pairs dropped, of how many."""
    limits = load_settings("lite").demix_filter.max_distance
    assert limits.speech_relative is not None
    good, bad = (
        [
            pair.distances["raw"] <= limits.speech and pair.distances["relative"] <= limits.speech_relative
            for pair in some
        ]
        for some in ([pair for pair in pairs if pair.good], [pair for pair in pairs if pair.bad])
    )
    return sum(good), len(good), len(bad) - sum(bad), len(bad)


def together(pairs: Sequence[Pair]) -> str:
    kept, good, dropped, bad = kept_and_dropped(pairs)
    return (
        f"With the limits of `lite`, raw and relative together (the star): {kept} of {good} good pairs are kept, "
        f"{dropped} of {bad} bad ones are dropped. They were chosen on these pairs, and {bad} bad ones say little.\n"
    )


def picture(pairs: Sequence[Pair], path: Path) -> None:
    """Good pairs kept over bad pairs dropped, a curve a distance, thresholds marked."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    good, bad = [pair for pair in pairs if pair.good], [pair for pair in pairs if pair.bad]
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": path.stem})  # text stays text, ids stay the same
    figure, axes = pyplot.subplots(figsize=(6, 4.5), layout="constrained")
    for name in DISTANCES:
        levels = sorted({0.0, *(pair.distances[name] for pair in pairs)})
        kept = [share_below(good, name, level) for level in levels]
        dropped = [1 - share_below(bad, name, level) for level in levels]
        [line] = axes.plot(dropped, kept, label=name)
        for mark in (0.1, 0.2, 0.3, 0.5):
            place = 1 - share_below(bad, name, mark), share_below(good, name, mark)
            axes.plot(*place, "o", color=line.get_color())
            axes.annotate(f"{mark:g}", place, textcoords="offset points", xytext=(5, -10), fontsize=8)
    kept_pairs, all_good, dropped_pairs, all_bad = kept_and_dropped(pairs)
    axes.plot(dropped_pairs / all_bad, kept_pairs / all_good, "k*", markersize=12, label="raw and relative, lite")
    axes.set(xlabel="bad pairs dropped", ylabel="good pairs kept", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(title="distance", loc="lower left")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    arguments = parser_of(__doc__, 90, RESULT).parse_args()
    torch.set_num_threads(1)
    sounds = recordings(arguments.media) if arguments.media else generated_sounds(arguments.seconds)
    pairs = measured(mixtures(arguments.mixtures, arguments.seconds, sounds), arguments.verbose)
    text = table(pairs)
    print(text)
    if arguments.write:
        picture(pairs, RESULT.with_suffix(".svg"))
        where = "Recordings" if arguments.media else "Generated sounds"
        head = f"# The dual-demixing check of `lite`\n\n{where}. What is compared is said in the script.\n\n"
        RESULT.write_text(head + text + "\n![the curve](demix_check.svg)\n")


if __name__ == "__main__":
    main()
