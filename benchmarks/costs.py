"""What stages and models cost per second of film: arithmetic of networks, counted; processor time, measured.

    python -m benchmarks.costs [--media FOLDER] [--write]

Networks have their released sizes and random weights; their multiplications and additions are counted
(torch.utils.flop_counter) for one input of the size that the models here use, times the inputs that a second of film
makes with the default settings. The processor's time is that of a `lite` build of a generated film of 720 lines,
children included: of every model, and of what its stage does around it (reads pictures and sound, writes stems).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.utils.flop_counter import FlopCounterMode

from demix.cli import main as demix
from demix.models import model_class
from demix.recipe import all_stages, judges, load_settings
from demix.records import Clip, Probe
from demix.stage import Item, Outcome, Stage
from tests.films.demo import FEATURE
from tests.films.film import make_film
from tests.models.diarization.released import pyannote_networks

RESULT = Path(__file__).parent / "results/costs.md"
SIZE = (1280, 720)
"""Of the generated film: what cutting and looking cost grows with it."""


def gigaflops(network: torch.nn.Module, call: Callable[[torch.nn.Module], Any], device: str = "meta") -> float:
    """Billions of multiplications and additions of one call. On `meta` nothing is computed; a network that looks at
    its own numbers needs `cpu`."""
    network = network.to(device).eval()
    with torch.inference_mode(), torch.device(device), FlopCounterMode(display=False) as counter:
        call(network)
    return float(counter.get_total_flops()) / 1e9


def cdx23() -> float:
    """Three checkpoints; segments that overlap by 0.8 compute everything five times."""
    from demucs.htdemucs import HTDemucs

    network = HTDemucs(["music", "effect", "dialog"], segment=10)
    return 3 * 5 * gigaflops(network, lambda made: made(torch.rand(1, 2, 441_000)), "cpu") / 10


def bandit_plus() -> float:
    """Two channels, one after the other; four chunks of 6 s cover a sample."""
    from demix.models.demixing.bandit_network import BanditPlus

    return 2 * 4 * gigaflops(BanditPlus(), lambda made: made(torch.empty(1, 264_600))) / 6


def spleeter() -> float:
    """Two networks, one a stem, on segments of 512 frames of 1024 samples."""
    from demix.models.demixing.spleeter_network import UNet

    return 2 * gigaflops(UNet(), lambda made: made(torch.empty(1, 2, 512, 1024))) / (512 * 1024 / 44_100)


def audiobox() -> float:
    """Windows of 10 s."""
    from demix.models.audio_quality.audiobox import AXES, WINDOW, _network_class

    targets = {axis: {"mean": 0.0, "std": 1.0} for axis in AXES}
    network = _network_class()(proj_num_layer=5, proj_ln=True, target_transform=targets)
    given = {"wav": torch.rand(1, 1, WINDOW), "mask": torch.ones(1, 1, WINDOW, dtype=torch.bool)}
    return gigaflops(network, lambda made: made(given), "cpu") / 10


def rtdetr() -> float:
    """Four frames a second at 640 x 640."""
    from transformers import RTDetrV2Config, RTDetrV2ForObjectDetection

    network = RTDetrV2ForObjectDetection(RTDetrV2Config())
    return 4 * gigaflops(network, lambda made: made(pixel_values=torch.rand(1, 3, 640, 640)), "cpu")


def s3fd() -> float:
    """Eight frames a second at 854 x 480."""
    from demix.models.faces.s3fd_network import S3fd

    return 8 * gigaflops(S3fd(), lambda made: made(torch.empty(1, 3, 480, 854)))


def active_speaker(name: str) -> Callable[[], float]:
    """Chunks of 2 s at 25 frames a second, of one face."""

    def count() -> float:
        from demix.models import model_class

        network = model_class("active_speaker", name).network()
        return gigaflops(network, lambda made: made(torch.empty(1, 200, 13), torch.empty(1, 50, 112, 112))) / 2

    return count


def transnetv2() -> float:
    """100 frames at once, of which 50 are answered for, at 25 frames a second."""
    from demix.models.shots.transnetv2 import load

    frames = torch.zeros(1, 100, 27, 48, 3, dtype=torch.uint8, device="meta")
    return gigaflops(load(), lambda made: made(frames)) / 50 * 25


def pyannote() -> float:
    """A chunk of 10 s each second, listened to once for turns, and once for each of three voices."""
    turns, voices = (
        gigaflops(network, lambda made: made(torch.rand(1, 1, 160_000)), "cpu") for network in pyannote_networks()
    )
    return turns + 3 * voices


NETWORKS: dict[str, Callable[[], float]] = {
    "transnetv2": transnetv2,
    "audiobox": audiobox,
    "cdx23": cdx23,
    "bandit_plus": bandit_plus,
    "spleeter": spleeter,
    "rtdetr": rtdetr,
    "s3fd": s3fd,
    "talknet": active_speaker("talknet"),
    "lr_asd": active_speaker("lr_asd"),
    "light_asd": active_speaker("light_asd"),
    "pyannote": pyannote,
}
OPTIONAL = {"pyannote"}
"""Networks whose package is an extra that may be missing; then they have no row."""


class Spent:
    """Seconds of processor, and of film or clip, while stages and the models in them run."""

    def __init__(self) -> None:
        self.stages: defaultdict[str, float] = defaultdict(float)
        """Stage -> seconds of processor, those of its models not counted."""
        self.models: defaultdict[tuple[str, str], float] = defaultdict(float)
        """(stage, role) -> seconds of processor."""
        self.given: defaultdict[str, float] = defaultdict(float)
        """Stage -> seconds of film or clip."""
        self._within = ""

    def stage(self, run: Callable[..., Sequence[Outcome]]) -> Callable[..., Sequence[Outcome]]:
        """A stage's `run` that notes what it takes."""

        def noted(stage: Stage, items: Sequence[Item]) -> Sequence[Outcome]:
            self._within, before = stage.name, _used()
            outcomes = run(stage, items)
            self.stages[stage.name] += _used() - before
            self.given[stage.name] += sum(map(_seconds, items))
            return outcomes

        return noted

    def model(self, role: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        """A model's method that notes what it takes."""

        def noted(*given: Any) -> Any:
            before = _used()
            answered = answer(*given)
            spent = _used() - before
            self.models[self._within, role] += spent
            self.stages[self._within] -= spent
            return answered

        return noted

    def per_second(self) -> tuple[dict[str, float], dict[str, float]]:
        """Stage -> and role -> seconds of processor for each second that the stage was given. What is given to a stage
        before files are probed has no length, and is left out."""
        stages = {name: spent / self.given[name] for name, spent in self.stages.items() if self.given[name] > 0}
        return stages, {role: spent / self.given[stage] for (stage, role), spent in self.models.items()}


METHODS = {
    "audio_quality": "score",
    "demix_three": "separate",
    "demix_two": "separate",
    "faces": "detect",
    "diarization": "diarize",
    "active_speaker": "score",
    "captioning": "describe",
}
"""Role -> what its model is asked. Shots are found in a process of their own: they are their whole stage. The persons
of `lite` are its faces."""


def processor_seconds(media: Path | None) -> tuple[dict[str, float], dict[str, float]]:
    """What stages and models take in a build of one film (or of a folder), as `Spent.per_second` has it. It is built
    twice: what a process does once (imports, first calls of a network) is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        if media is None:
            make_film(Path(folder) / "film.mp4", FEATURE, size=SIZE, seed=3)
        for name in ("first", "second"):
            spent = Spent()
            command = ["build", str(media or f"{folder}/film.mp4"), "--output", f"{folder}/{name}"]
            with _watched(spent), contextlib.redirect_stdout(io.StringIO()):
                if status := demix([*command, "--runner", "sequential", "--set", "report.samples_per_group=0"]):
                    raise RuntimeError(f"the build ended with {status}")
    return spent.per_second()


@contextlib.contextmanager
def _watched(spent: Spent) -> Iterator[None]:
    """All stages and models note what they take."""
    settings = load_settings()
    with contextlib.ExitStack() as patches:
        for stage in all_stages(settings):
            patches.enter_context(mock.patch.object(type(stage), "run", spent.stage(type(stage).run)))
        for role, method in METHODS.items():
            kind = model_class(role, judges(settings)[role].name)
            patches.enter_context(mock.patch.object(kind, method, spent.model(role, getattr(kind, method))))
        yield


def _seconds(item: Item) -> float:
    if isinstance(item.subject, Clip):
        return float(item.subject.seconds)
    return item[Probe].seconds if Probe in item else float("nan")  # before a file is probed nobody knows


def _used() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def counted() -> dict[str, float]:
    """Network -> GFLOP a second of media."""
    counts = {}
    for name, count in NETWORKS.items():
        try:
            counts[name] = count()
        except ImportError as error:
            if name not in OPTIONAL:
                raise
            print(f"{name} is not counted: {error}", file=sys.stderr)
    return counts


def report(networks: dict[str, float], stages: dict[str, float], models: dict[str, float]) -> str:
    around = sum(seconds for name, seconds in stages.items() if name not in ("shots", "clip_media"))
    lines = [
        "# What a second of film costs",
        "",
        "Written by `python -m benchmarks.costs --write`; its head says how.",
        "",
        *_table("network | GFLOP a second", networks, 1),
        *_table("model of `lite` | processor seconds a second", models, 3),
        *_table("stage of `lite`, without its models | processor seconds a second", stages, 3),
        f"All stages but shots and clip_media, together: {around:.3f}",
        "",
    ]
    return "\n".join(lines)


def _table(head: str, rows: dict[str, float], digits: int) -> list[str]:
    return [f"| {head} |", "|---|---:|", *(f"| {name} | {value:,.{digits}f} |" for name, value in rows.items()), ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, help="film, or folder of films, instead of a generated one")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = report(counted(), *processor_seconds(options.media))
    print(text)
    if options.write:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
