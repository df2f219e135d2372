"""A training step of the full-size model on one GPU: seconds, MFU and peak memory, and what each measure buys.

    python -m benchmarks.training_step [CASE...] [--recipe mtv_5b] [--set a.b=value] [--steps 3] [--profile] [--write]

The recipe's model is made at random and trained by the trainer itself (`Trainer.train_on`: FSDP2 on one rank, clipping,
AdamW, moving average) on one encoded sample a step, as from the caches that `mtv_train precompute` writes. Each case
lays its settings over those of the one before. After a step of warm-up (it compiles, and pays for AdamW's memory) the
median of the others counts. MFU is forward and backward FLOPs, counted by formula (`mtv_train plan`), over the device's
dense peak; what activation checkpointing computes again counts as lost time. What does not fit is said to not fit.
Below stands what encoding one sample costs where there is no cache.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mtv_train import recipes
from mtv_train.config import StageSettings, TrainSettings
from mtv_train.data.batch import AudioFeatures, Batch, ClipWaves, Latents
from mtv_train.data.encoders import Encoders, SoundEncoder, TextEncoder, VideoEncoder
from mtv_train.data.order import StageMix
from mtv_train.distributed.fsdp import PRECISIONS, parallelize
from mtv_train.distributed.mesh import make_mesh
from mtv_train.distributed.world import World, join
from mtv_train.model.flops import FlopCount
from mtv_train.train import components
from mtv_train.train.journal import Journal
from mtv_train.train.loop import Inputs, Trainer
from mtv_train.train.memory import memory, sizes
from mtv_train.train.metrics import flops_of, peak_tflops
from mtv_train.train.step import LossStep

RESULT = Path(__file__).parent / "results" / "training_step.md"
STAGE, WARM_UP = "basic_face", 1
CASES: dict[str, tuple[str, ...]] = {
    "full": ("parallel.activation=full", "parallel.compile=false"),
    "selective": ("parallel.activation=selective",),
    "projections": ("parallel.activation=projections",),
    "compile": ("parallel.compile=true",),
    "accumulate": ("optim.batch=4",),
}
"""name -> settings laid over those of the case before."""


@dataclass(frozen=True)
class Seen:
    """One case, measured."""

    name: str
    added: str
    batch: int = 1
    seconds: float = 0.0
    """Of a step."""
    first: float = 0.0
    """Seconds of the first step, compilation included."""
    peak: float = 0.0
    """GiB allocated at most."""
    estimate: float = 0.0
    """GiB that `mtv_train plan` says."""
    fits: bool = True

    def row(self, flops: FlopCount, peak: float) -> str:
        how = f"| {self.name} | `{self.added}` |"
        if not self.fits:
            return f"{how} does not fit | | | | {self.estimate:.1f} | |"
        rate = self.batch * (flops.forward + flops.backward) / self.seconds / 1e12
        mfu = f"{rate / peak:.1%}" if peak else "-"
        return (
            f"{how} {self.seconds / self.batch:.3f} | {rate:.0f} | {mfu} | {self.peak:.1f} | {self.estimate:.1f} "
            f"| {self.first:.0f} |"
        )


def settings_of(recipe: str, assignments: list[str]) -> TrainSettings:
    """The recipe with a random model, encoded inputs and one sample a step, and `assignments` over it."""
    fixed = ["model.weights=random", "optim.batch=1", "validation.every=0", "log.tensorboard=false"]
    cached = ["data.cache=none", "data.cached=[latents,text,audio]"]
    made = recipes.load(recipe, None, [*fixed, *cached, *assignments])
    return made.model_copy(update={"stages": {STAGE: StageSettings(weights={STAGE: 1.0})}})


def samples(settings: TrainSettings, device: torch.device) -> Batch:
    """A step's samples, encoded: noise of the shapes that the encoders give."""
    mtv, backbone, count = settings.model.mtv, settings.model.backbone, settings.optim.batch
    frames = settings.data.window.frames + 2 * mtv.audio_window
    torch.manual_seed(0)

    def noise(*size: int) -> torch.Tensor:
        return torch.randn(count, *size, device=device, dtype=torch.bfloat16)

    return Batch(
        stage=STAGE,
        seed=0,
        ks=tuple(range(count)),
        keys=tuple(f"sample@{k}" for k in range(count)),
        subsets=(STAGE,) * count,
        captions=("",) * count,
        latents=Latents(noise(*settings.latent_shape), noise(*settings.latent_shape) - 4),
        text=noise(backbone.max_text_seq_length, backbone.text_embed_dim),
        audio=AudioFeatures(
            {track: noise(frames, mtv.feature_layers, mtv.feature_dim) for track in mtv.tracks}, mtv.audio_window
        ),
    )


def make_trainer(settings: TrainSettings, world: World, run: Path, flops: FlopCount) -> Trainer:
    """A run without a dataset."""
    precision = PRECISIONS[settings.parallel.precision]
    model = components.make_transformer(settings.model, settings.seed, precision, world.device)
    parallelize(model, make_mesh(world), settings.parallel)

    def nothing(*_given: Any) -> Any:
        raise RuntimeError("this run is fed by hand")

    return Trainer(
        settings,
        run,
        world,
        model,
        LossStep(model, Encoders(None, None, None), settings, world.device),
        Inputs({STAGE: StageMix(STAGE, {STAGE: 1.0})}, "none", nothing),
        Journal(settings, run, world, flops.forward + flops.backward),
    )


def measure(
    case: tuple[str, str], settings: TrainSettings, world: World, flops: FlopCount, options: argparse.Namespace
) -> Seen:
    """One case; a case that does not fit is a row as well."""
    name, added = case
    estimate = memory(settings, 1, sizes(settings))["total"]
    try:
        with tempfile.TemporaryDirectory() as folder, emptied(world.device):
            trainer = make_trainer(settings, world, Path(folder), flops)
            trainer.model.train()
            batch = samples(settings, world.device)
            taken = [timed(lambda: trainer.train_on(batch), world.device) for _ in range(WARM_UP + options.steps)]
            peak = torch.cuda.max_memory_allocated(world.device) / 2**30 if world.device.type == "cuda" else 0.0
            if options.profile:
                print(kernels(lambda: trainer.train_on(batch), world.device), flush=True)
            trainer.journal.close()
    except torch.OutOfMemoryError:
        return Seen(name, added, estimate=estimate, fits=False)
    return Seen(name, added, settings.optim.batch, statistics.median(taken[WARM_UP:]), taken[0], peak, estimate)


def kernels(work: Callable[[], Any], device: torch.device) -> str:
    """What the time of one piece of work goes into, the dearest first."""
    from torch.profiler import ProfilerActivity, profile

    kind = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    with profile(activities=[kind]) as seen:
        timed(work, device)
    return seen.key_averages().table(sort_by=f"self_{device.type}_time_total", row_limit=25, max_name_column_width=90)


@contextmanager
def emptied(device: torch.device) -> Iterator[None]:
    """What is left of earlier models and compiled code is gone in the block."""
    torch._dynamo.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    yield


def timed(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of the wall, the device's work included."""
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def encoders(settings: TrainSettings, device: torch.device) -> list[str]:
    """Rows of what one sample costs to encode."""
    model, window = settings.model, settings.data.window
    precision = PRECISIONS[settings.parallel.precision]
    rows = []
    with emptied(device), torch.device(device):
        torch.manual_seed(0)
        video = torch.randint(0, 256, (window.frames, 3, window.height, window.width), dtype=torch.uint8)
        samples = round(window.frames / float(window.rate) * window.sample_rate)
        waves = ClipWaves({track: torch.randn(samples) * 0.1 for track in window.tracks}, window.frames, 0)
        tokenizer, writer = components.make_text_encoder(model, 0, precision)
        text = TextEncoder(tokenizer, writer, model.backbone.max_text_seq_length)
        pictures = VideoEncoder(components.make_vae(model, 0, precision))
        sound = SoundEncoder(components.make_audio_encoder(model, 0), window)
    work: dict[str, Callable[[], Any]] = {
        "VAE": lambda: pictures.encode(video),
        "T5": lambda: text.encode("A street in the rain."),
        f"wav2vec2, {len(window.tracks)} tracks": lambda: sound.encode(waves),
    }
    for name, run in work.items():
        taken = [timed(run, device) for _ in range(4)]
        rows.append(f"| {name} | {statistics.median(taken[1:]):.3f} |")
    return rows


def page(command: str, seen: list[Seen], rows: list[str], flops: FlopCount, device: torch.device, peak: float) -> str:
    """The result as Markdown."""
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return "\n".join(
        [
            "# A training step of the full-size model, measured",
            "",
            f"`{command}`; see its head for how it is measured.",
            f"{where}, torch {torch.__version__}, {flops.forward / 1e12:.1f} TFLOP forward and "
            f"{flops.backward / 1e12:.1f} backward a sample, peak {peak:.0f} TFLOP/s.",
            "",
            "| case | what is changed | s a sample | TFLOP/s | MFU | GiB at most | planned | s, first step |",
            "|---|---|---:|---:|---:|---:|---:|---:|",
            *(one.row(flops, peak) for one in seen),
            "",
            "| to encode one sample | s |",
            "|---|---:|",
            *rows,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} (all)")
    parser.add_argument("--recipe", default="mtv_5b")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=VALUE", help="over the recipe's settings")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--steps", type=int, default=3, help="timed steps of a case")
    parser.add_argument("--no-encoders", action="store_true", help="leave the frozen encoders out")
    parser.add_argument("--profile", action="store_true", help="print what one step of each case goes into")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    given = parser.parse_args()
    if unknown := [name for name in given.cases if name not in CASES]:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    world = join(given.device)
    layers: list[str] = []
    seen: list[Seen] = []
    rows: list[str] = []
    command = f"python -m benchmarks.training_step --recipe {given.recipe} --steps {given.steps}"
    command += "".join(f" --set {text}" for text in given.set)
    for name, added in CASES.items():
        layers += added
        settings = settings_of(given.recipe, [*layers, *given.set])
        flops = flops_of(settings)
        if given.cases and name not in given.cases:
            continue
        seen.append(measure((name, " ".join(added)), settings, world, flops, given))
        print(seen[-1].row(flops, peak_tflops(settings.log, world.device)), flush=True)
    if not given.no_encoders:
        rows = encoders(settings, world.device)
    text = page(command, seen, rows, flops, world.device, peak_tflops(settings.log, world.device))
    print(text)
    if given.write:
        RESULT.write_text(text, encoding="utf-8")
    world.leave()


if __name__ == "__main__":
    main()
