"""What film costs: recorded figures of stages and models, and what they add up to on a cluster.

The figures are those of benchmarks/results, for the default settings: networks measured on one GPU, one at a time;
processor time measured. What a network costs where there is no GPU is its arithmetic, counted, over an assumption that
is printed: how much of it a core does in a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import Field

from demix.config import Settings
from demix.engine.placement import CPU_GIGAFLOPS, UNKNOWN, StageCost
from demix.recipe import CLIP_STAGES, BuildSettings, judges
from demix.report.paper import SOURCE_HOURS

RAW_HOURS = sum(SOURCE_HOURS.values())
"""Of film that the paper started from: 13,891."""
RESULTS = "benchmarks/results"
COUNTED, ON_GPU, ON_CPU = (f"{RESULTS}/{name}.md" for name in ("costs", "backends_gpu", "backends_vision"))
MEASURED_ON = "H200"
SIZES = "published sizes"
SERVICE = "a service, bought"


class Figure(NamedTuple):
    """What a second of film (for `shots`) or of clip (for the others) takes."""

    gigaflops: float = 0.0
    """Billions of multiplications and additions of a network: what it costs where there is no GPU."""
    gpu_speed: float = 0.0
    """Seconds of media that one `MEASURED_ON` answers for in a second, as `ON_GPU` has it; 0: it takes no GPU."""
    cpu_seconds: float = 0.0
    """Seconds of one processor core."""
    source: str = COUNTED
    """Of `gigaflops` or `cpu_seconds`."""


FIGURES: Mapping[tuple[str, str], Figure] = {
    ("shots", "adaptive"): Figure(cpu_seconds=0.086),
    # The film is read as for `adaptive`: that is nearly all of its time.
    ("shots", "transnetv2"): Figure(gigaflops=41.6, gpu_speed=147.0, cpu_seconds=0.086),
    ("clip_media", ""): Figure(cpu_seconds=0.484),
    ("audio_quality", "signal"): Figure(cpu_seconds=0.009),
    ("audio_quality", "audiobox"): Figure(gigaflops=13.9, gpu_speed=315.0),
    ("demix_three", "lite"): Figure(cpu_seconds=0.118),
    ("demix_three", "cdx23"): Figure(gigaflops=355.1, gpu_speed=14.6),
    ("demix_three", "bandit_plus"): Figure(gigaflops=961.5, gpu_speed=15.3),
    # Beside the `lite` of three stems, which has heard the clip for both.
    ("demix_two", "lite"): Figure(cpu_seconds=0.106),
    ("demix_two", "spleeter"): Figure(gigaflops=2.1, gpu_speed=53.6),
    # Persons and faces of `lite` are one pass of one detector: its time stands with the faces.
    ("persons", "mtcnn"): Figure(),
    ("faces", "mtcnn"): Figure(cpu_seconds=0.456),
    ("persons", "rtdetr"): Figure(gigaflops=546.9, gpu_speed=17.9),
    ("persons", "yolo"): Figure(gigaflops=4 * 68.0, gpu_speed=77.4, source=SIZES),
    ("faces", "yunet"): Figure(cpu_seconds=0.37, source=ON_CPU),
    ("faces", "s3fd"): Figure(gigaflops=2056.1, gpu_speed=24.9),
    ("diarization", "lite"): Figure(cpu_seconds=0.049),
    ("diarization", "pyannote"): Figure(gigaflops=136.8, gpu_speed=314.0),
    ("diarization", "scribe"): Figure(source=SERVICE),
    ("active_speaker", "mouth_flow"): Figure(cpu_seconds=0.050),
    # Counted for one of the six chunk lengths that it averages by default.
    ("active_speaker", "talknet"): Figure(gigaflops=6 * 25.6, gpu_speed=91.7),
    ("active_speaker", "lr_asd"): Figure(gigaflops=8.3, gpu_speed=539.0),
    ("active_speaker", "light_asd"): Figure(gigaflops=10.2, gpu_speed=460.0),
    ("captioning", "facts"): Figure(cpu_seconds=0.014),
    # 2 x 7.6e9 parameters x 12,000 tokens and 64 pictures through a tower of 0.67 TFLOP, once in a clip of 11 s.
    ("captioning", "llava_video"): Figure(gigaflops=20_500.0, gpu_speed=0.833, source=SIZES),
    # 2 x 8.2e9 parameters x 2,000 tokens of pictures and text, in the same clip.
    ("captioning", "qwen3_vl"): Figure(gigaflops=3_000.0, gpu_speed=0.55, source=SIZES),
    ("captioning", "server"): Figure(source=SERVICE),
    ("around", ""): Figure(cpu_seconds=0.133),
}
"""(role, model) -> figure; without a model, what stages do besides. What is missing has not been measured."""


_ROLES: Mapping[str, tuple[str, ...]] = {
    "demixing": ("demix_three", "demix_two"),
    "persons": ("persons", "faces"),
    "caption": ("captioning",),
}
"""Stage -> the roles of its models, where they are not the role of its name."""
_SERVICE_SECONDS = 0.25
"""That a worker waits for a service, for a second of media: a guess, as services differ."""


def stage_costs(settings: BuildSettings, gpu_speed: float = 1.0) -> dict[str, StageCost]:
    """Stage -> what its models cost, for the stages of which that is recorded. `gpu_speed`: an H200's is 1."""
    chosen = {role: choice.name for role, choice in judges(settings).items()} | {"clip_media": ""}
    roles = {stage: _ROLES.get(stage, (stage,)) for stage in ("shots", *CLIP_STAGES)}
    return {
        stage: _stage_cost([FIGURES.get((role, chosen[role])) for role in own], gpu_speed)
        for stage, own in roles.items()
        if all(role in chosen for role in own)
    }


def _stage_cost(figures: Sequence[Figure | None], gpu_speed: float) -> StageCost:
    known = [figure for figure in figures if figure is not None]
    if not known:
        return UNKNOWN
    service = any(figure.source == SERVICE for figure in known)
    return StageCost(
        cpu_seconds=sum(figure.cpu_seconds for figure in known) + _SERVICE_SECONDS * service,
        gpu_seconds=sum(1 / (figure.gpu_speed * gpu_speed) for figure in known if figure.gpu_speed),
        gigaflops=sum(figure.gigaflops for figure in known),
        guessed=service or len(known) < len(figures),
    )


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
    """Speed of one GPU, an H200 being 1."""
    cpu_gigaflops: float = Field(CPU_GIGAFLOPS, gt=0)
    """Of the counted arithmetic, billions that one processor core really does in a second: for networks where there is
    no GPU."""


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


def costs_of(settings: BuildSettings, cluster: Cluster) -> list[Cost]:
    """What every role costs with the models that the settings choose, and what the stages do around them."""
    shots, *others = [(role, choice.name) for role, choice in judges(settings).items()]
    return [_cost(role, model, cluster) for role, model in [shots, ("clip_media", ""), *others, ("around", "")]]


def _cost(role: str, model: str, cluster: Cluster) -> Cost:
    hours = cluster.hours * (1.0 if role == "shots" else cluster.clip_share)
    figure = FIGURES.get((role, model))
    if figure is None:
        return Cost(role, model, hours, 0.0, 0.0, "")
    if cluster.gpus and figure.gpu_speed:
        gpu_hours = hours / (figure.gpu_speed * cluster.gpu_speed)
        return Cost(role, model, hours, gpu_hours, hours * figure.cpu_seconds, ON_GPU)
    cpu_seconds = figure.cpu_seconds + figure.gigaflops / cluster.cpu_gigaflops
    return Cost(role, model, hours, 0.0, hours * cpu_seconds, figure.source)
