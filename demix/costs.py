"""What film costs: recorded figures of stages and models, and what they add up to on a cluster.

The figures are those of benchmarks/results, for the default settings: networks measured on one GPU, one at a time, and
their arithmetic counted; processor time measured. For the networks that were not measured, how much of the counted
arithmetic a GPU does in a second is an assumption, and printed as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import Field

from demix.config import Settings
from demix.recipe import BuildSettings, judges
from demix.report.paper import SOURCE_HOURS

RAW_HOURS = sum(SOURCE_HOURS.values())
"""Of film that the paper started from: 13,891."""
RESULTS = "benchmarks/results"
COUNTED, DEMIXING, VOICES, ON_GPU = (f"{RESULTS}/{name}.md" for name in ("costs", "demixing", "voices", "backends_gpu"))
MEASURED_ON = "H200"
SIZES = "published sizes; not run"
SERVICE = "a service; bought, not computed here"


class Figure(NamedTuple):
    """What a second of film (for `shots`) or of clip (for the others) costs."""

    gigaflops: float = 0.0
    """Billions of multiplications and additions: on a GPU where there is one."""
    gpu_speed: float = 0.0
    """Seconds of media that one `MEASURED_ON` answers for in a second, as `ON_GPU` has it; 0: not measured."""
    cpu_seconds: float = 0.0
    """Seconds of one processor core."""
    source: str = COUNTED
    half: bool = False
    """Whether the network computes in 16 bits, which GPUs do several times as fast."""


FIGURES: Mapping[tuple[str, str], Figure] = {
    ("shots", "adaptive"): Figure(cpu_seconds=0.111),
    ("shots", "transnetv2"): Figure(gigaflops=41.6, gpu_speed=147.0),
    ("clip_media", ""): Figure(cpu_seconds=0.344),
    ("audio_quality", "signal"): Figure(cpu_seconds=0.014),
    ("audio_quality", "audiobox"): Figure(gigaflops=13.9, gpu_speed=315.0),
    ("demix_three", "lite"): Figure(cpu_seconds=0.050, source=DEMIXING),
    ("demix_three", "cdx23"): Figure(gigaflops=327.6, gpu_speed=14.6),
    ("demix_three", "bandit_plus"): Figure(gigaflops=961.5, gpu_speed=15.3),
    ("demix_two", "lite"): Figure(cpu_seconds=0.052, source=DEMIXING),
    ("demix_two", "spleeter"): Figure(gigaflops=2.1, gpu_speed=53.6),
    # Persons and faces of `lite` are one pass of one detector: its time stands with the faces.
    ("persons", "mtcnn"): Figure(),
    ("faces", "mtcnn"): Figure(cpu_seconds=0.13, source=VOICES),
    ("persons", "rtdetr"): Figure(gigaflops=546.9, gpu_speed=17.9),
    ("persons", "yolo"): Figure(gigaflops=4 * 68.0, source=SIZES),
    ("faces", "s3fd"): Figure(gigaflops=2056.1, gpu_speed=24.9),
    ("diarization", "lite"): Figure(cpu_seconds=0.02, source=VOICES),
    ("diarization", "pyannote"): Figure(gigaflops=136.8),
    ("diarization", "scribe"): Figure(source=SERVICE),
    ("active_speaker", "mouth_flow"): Figure(cpu_seconds=0.08, source=VOICES),
    # Counted for one of the six chunk lengths that it averages by default.
    ("active_speaker", "talknet"): Figure(gigaflops=6 * 25.6, gpu_speed=91.7),
    ("active_speaker", "lr_asd"): Figure(gigaflops=8.3, gpu_speed=539.0),
    ("active_speaker", "light_asd"): Figure(gigaflops=10.2, gpu_speed=460.0),
    ("captioning", "facts"): Figure(cpu_seconds=0.016),
    # 2 x 7.6e9 parameters x 12,000 tokens and 64 pictures through a tower of 0.67 TFLOP, once in a clip of 11 s.
    ("captioning", "llava_video"): Figure(gigaflops=20_500.0, source=SIZES, half=True),
    ("captioning", "server"): Figure(source=SERVICE),
}
"""(role, or stage without a model; model) -> figure. What is missing has not been measured."""


class Cluster(Settings):
    """What the sum is made for; every field is printed with it."""

    hours: float = Field(RAW_HOURS, gt=0)
    """Hours of raw film."""
    clip_share: float = Field(1.0, gt=0, le=1)
    """Share of the film that reaches every stage over clips. 1 is the dearest: nothing is dropped before the last."""
    gpus: int = Field(8, ge=0)
    cpus: int = Field(64, ge=1)
    """Processor cores."""
    gpu_speed: float = Field(1.0, gt=0)
    """Speed of one GPU, an H200 being 1: for the networks that were measured on one."""
    gpu_teraflops: float = Field(15.0, gt=0)
    """For the others: of the counted arithmetic, trillions that one GPU really does in a second, in float32, decoding
    and small batches included. An H100 is sold with 67."""
    gpu_teraflops_half: float = Field(200.0, gt=0)
    """The same in 16 bits. An H100 is sold with 989."""
    cpu_gigaflops: float = Field(30.0, gt=0)
    """The same of one processor core, in billions: for networks where there is no GPU."""


class Cost(NamedTuple):
    """One role's share."""

    role: str
    model: str
    hours: float
    """Of film or clips that it sees."""
    gpu_hours: float
    cpu_hours: float
    source: str
    """Where the figure comes from; empty where there is none, and then the hours are 0."""
    counted: bool = False
    """Whether the GPU-hours follow from counted arithmetic, and not from a measurement on a GPU."""


def costs_of(settings: BuildSettings, cluster: Cluster) -> list[Cost]:
    """What every role costs with the models that the settings choose."""
    chosen = [(role, choice.name) for role, choice in judges(settings).items()]
    return [_cost(role, model, cluster) for role, model in [chosen[0], ("clip_media", ""), *chosen[1:]]]


def _cost(role: str, model: str, cluster: Cluster) -> Cost:
    hours = cluster.hours * (1.0 if role == "shots" else cluster.clip_share)
    figure = FIGURES.get((role, model))
    if figure is None:
        return Cost(role, model, hours, 0.0, 0.0, "")
    if cluster.gpus and figure.gpu_speed:
        gpu_hours = hours / (figure.gpu_speed * cluster.gpu_speed)
        return Cost(role, model, hours, gpu_hours, hours * figure.cpu_seconds, ON_GPU)
    if cluster.gpus:
        teraflops = cluster.gpu_teraflops_half if figure.half else cluster.gpu_teraflops
        gpu_hours = hours * figure.gigaflops / (1000 * teraflops)
        return Cost(role, model, hours, gpu_hours, hours * figure.cpu_seconds, figure.source, figure.gigaflops > 0)
    cpu_seconds = figure.cpu_seconds + figure.gigaflops / cluster.cpu_gigaflops
    return Cost(role, model, hours, 0.0, hours * cpu_seconds, figure.source)
