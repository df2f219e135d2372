"""Seconds a denoising step of MTVPipeline against diffusers' CogVideoXPipeline of the same size, in one run.

    python -m benchmarks.sampling [--device cuda] [--width 512] [--layers 2] [--repeats 2] [--write]

What the sound adds should cost what its FLOPs cost and no more: the ratio of step times is to stay within 1.1 times the
ratio of FLOPs. Both pipelines sample the same latents with the same scheduler and guidance (two branches as one batch)
and take turns. A step's time (on a CPU that of its one thread) is that between two callbacks, and the median of all but
the first of a call counts. FLOPs are torch's own count of one forward pass of each transformer. Text is 226 tokens,
sound 32 tokens a track and frame, as at full size, and a quarter as wide as the video's, as there; width, layers and
picture are what a CPU can do. With few tokens fixed costs weigh more: of 216 video tokens the share of the FLOP ratio
was seen at 1.12 (width 256) and 1.14 (width 512), of 1248 at 1.05.

On a GPU it also measures the peak of memory of a whole call, decoding included, with everything on the GPU and with
`enable_model_cpu_offload()`.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import CogVideoXDPMScheduler, CogVideoXPipeline, CogVideoXTransformer3DModel
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mtv_train.config import BackboneSettings, ModelSettings, RandomEncoders
from mtv_train.model.config import MTVSettings
from mtv_train.sample.pipeline import MTVPipeline
from mtv_train.sample.track import Track
from mtv_train.train import components

RESULT = Path(__file__).parent / "results" / "sampling.md"
LIMIT = 1.1
"""Times the ratio of FLOPs that the ratio of step times may be."""
SCHEDULE = {"timestep_spacing": "trailing", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
PROMPT, RATE, STEPS = "A street in the rain.", 16_000, 5


@dataclass(frozen=True)
class Size:
    """Of the transformers and the video."""

    width: int
    layers: int
    frames: int
    height: int
    """Pixels; the width is one and a half times it, as 480 x 720."""


@dataclass(frozen=True)
class Result:
    """One size, measured; theirs first, ours second."""

    size: Size
    flops: tuple[int, int]
    seconds: tuple[float, float]

    @property
    def share(self) -> float:
        """The ratio of times over the ratio of FLOPs."""
        return (self.seconds[1] / self.seconds[0]) / (self.flops[1] / self.flops[0])

    def row(self) -> str:
        size, flops, seconds = self.size, self.flops, self.seconds
        return (
            f"| {size.width} x {size.layers} | {size.frames} x {size.height} x {size.height * 3 // 2} "
            f"| {flops[0] / 1e9:.1f} | {flops[1] / 1e9:.1f} | {flops[1] / flops[0]:.3f} "
            f"| {seconds[0]:.3f} | {seconds[1]:.3f} | {seconds[1] / seconds[0]:.3f} | {self.share:.3f} |"
        )


def make(size: Size, dtype: torch.dtype) -> tuple[CogVideoXPipeline, MTVPipeline]:
    """Both pipelines, random, with the same encoders."""
    heads = size.width // 64
    model = ModelSettings(
        weights="random",
        backbone=BackboneSettings(
            num_attention_heads=heads,
            num_layers=size.layers,
            in_channels=16,
            text_embed_dim=64,
            sample_frames=size.frames,
            sample_height=size.height // 8,
            sample_width=size.height * 3 // 2 // 8,
            use_learned_positional_embeddings=False,
        ),
        encoders=RandomEncoders(
            vae_channels=(16, 16, 16, 16), vae_layers=1, text_layers=1, text_heads=2, audio_heads=2, audio_channels=32
        ),
        mtv=MTVSettings(
            zero_init=False,
            feature_layers=2,
            feature_dim=64,
            projector_dim=size.width // 6,
            audio_dim=size.width // 4,
            interval_heads=heads,
        ),
    )
    tokenizer, text_encoder = components.make_text_encoder(model, 0, dtype)
    shared = {"tokenizer": tokenizer, "text_encoder": text_encoder, "vae": components.make_vae(model, 0, dtype)}
    theirs = CogVideoXTransformer3DModel(**model.backbone.config).eval().to(dtype)
    ours = components.make_transformer(model, 0, dtype).eval()
    scheduler = CogVideoXDPMScheduler(snr_shift_scale=1.0, **SCHEDULE)
    listener = components.make_audio_encoder(model, 0).wav2vec
    pipelines = (
        CogVideoXPipeline(transformer=theirs, scheduler=scheduler, **shared),
        MTVPipeline(transformer=ours, scheduler=scheduler, audio_encoder=listener, **shared),
    )
    for pipeline in pipelines:
        pipeline.set_progress_bar_config(disable=True)
    return pipelines


def measure(size: Size, device: torch.device, repeats: int) -> Result:
    """Both at one size."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    theirs, ours = make(size, dtype)
    theirs.to(device)
    ours.to(device)
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 1):
        for index, call in enumerate(callers(theirs, ours)):
            seconds = step_seconds(call, device)
            if turn:  # the first is a warm-up
                times[index].extend(seconds)
    flops = (count(theirs.transformer, callers(theirs, ours)[0]), count(ours.transformer, callers(theirs, ours)[1]))
    return Result(size, flops, (statistics.median(times[0]), statistics.median(times[1])))


def callers(theirs: Any, ours: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Both pipelines, asked for the same."""
    wave = np.random.default_rng(0).standard_normal((1, 4 * RATE)).astype(np.float32) * 0.1
    sound = {name: Track(wave, RATE) for name in ours.tracks}
    asked: dict[str, Any] = {"num_inference_steps": STEPS, "guidance_scale": 3.5}

    def plain(**options: Any) -> Any:
        return theirs(PROMPT, **asked, generator=torch.Generator().manual_seed(0), **options)

    def sounding(**options: Any) -> Any:
        return ours(PROMPT, sound, **asked, generator=torch.Generator().manual_seed(0), **options)

    return plain, sounding


def step_seconds(call: Callable[..., Any], device: torch.device) -> list[float]:
    """Of all steps of one call but the first."""
    moments: list[float] = []
    # On the CPU the time that its one thread worked: other programs on the machine do not count.
    clock = time.perf_counter if device.type == "cuda" else time.thread_time

    def note(_pipeline: Any, _step: int, _time: Any, given: dict[str, Tensor]) -> dict[str, Tensor]:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        moments.append(clock())
        return given

    call(callback_on_step_end=note, output_type="latent")
    return [later - earlier for earlier, later in pairwise(moments)]


def count(transformer: torch.nn.Module, call: Callable[..., Any]) -> int:
    """FLOPs of one call of the transformer, guidance's two branches."""
    counter, seen = FlopCounterMode(display=False), []
    plain = transformer.forward

    def forward(*given: Any, **named: Any) -> Any:
        if seen:
            return plain(*given, **named)
        with sdpa_kernel(SDPBackend.MATH), counter:
            result = plain(*given, **named)
        seen.append(True)
        return result

    transformer.forward = forward
    try:
        call(output_type="latent")
    finally:
        del transformer.forward
    return counter.get_total_flops()


def peaks(size: Size, device: torch.device) -> tuple[float, float]:
    """GiB at most of a whole call: everything on the GPU, and offloaded."""
    found = []
    for offload in (False, True):
        theirs, ours = make(size, torch.bfloat16)
        if offload:
            ours.enable_model_cpu_offload(device=device)
        else:
            ours.to(device)
        torch.cuda.reset_peak_memory_stats(device)
        callers(theirs, ours)[1]()
        found.append(torch.cuda.max_memory_allocated(device) / 2**30)
        del theirs, ours
        torch.cuda.empty_cache()
    return found[0], found[1]


def page(results: list[Result], memory: list[tuple[Size, tuple[float, float]]], device: torch.device) -> str:
    """The result as Markdown."""
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    kind = "bf16" if device.type == "cuda" else "fp32"
    lines = [
        "# A sampling step of MTV against CogVideoX's, measured",
        "",
        "Written by `python -m benchmarks.sampling --write`; see its head for how it is measured.",
        f"{where} ({platform.machine()}), torch {torch.__version__}, diffusers {diffusers.__version__}, {kind}, "
        "not compiled, guidance as one batch.",
        "",
        "| width x layers | video | GFLOP, theirs | ours | ratio | s a step, theirs | ours | ratio | of FLOP ratio |",
        "|---|---|---|---|---|---|---|---|---|",
        *(result.row() for result in results),
        "",
        f"Largest time ratio over FLOP ratio: {max(result.share for result in results):.3f} (limit {LIMIT}).",
    ]
    if memory:
        lines += ["", "| width x layers | GiB at most | offloaded |", "|---|---|---|"]
        lines += [f"| {size.width} x {size.layers} | {here:.2f} | {away:.2f} |" for size, (here, away) in memory]
    else:
        lines += [
            "",
            "These are sizes that a CPU can do, not the 5B model's. Peak memory and what offloading saves need a GPU",
            "and were not measured on this machine.",
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--width", type=int, action="append", help="of the models; can be repeated (512)")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--height", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    given = parser.parse_args()
    device = torch.device(given.device)
    torch.set_num_threads(1)
    sizes = [Size(width, given.layers, given.frames, given.height) for width in given.width or [512]]
    results = [measure(size, device, given.repeats) for size in sizes]
    memory = [(size, peaks(size, device)) for size in sizes] if device.type == "cuda" else []
    text = page(results, memory, device)
    print(text)
    if given.write:
        RESULT.write_text(text, encoding="utf-8")
    if any(result.share > LIMIT for result in results):
        raise SystemExit(f"a step of MTV costs more than {LIMIT} times what its FLOPs cost")


if __name__ == "__main__":
    main()
