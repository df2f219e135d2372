"""A video of the full-size model on one GPU: seconds for 50 steps of 49 x 480 x 720, and what each measure buys.

    python -m benchmarks.sampling_full [CASE...] [--recipe mtv_5b] [--set a.b=value] [--steps 50] [--write]

The recipe's model with all its encoders is made at random, in bf16. Each case lays its measures over those of the one
before; of each a few steps are sampled and their median counts, the first left out. With the last one a whole video is
sampled and decoded. Then the peak of memory of a short call with decoding: all on the GPU, decoding in tiles, and with
`enable_model_cpu_offload()`. The paper reports 280 s for such a video on an A100.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import CogVideoXDPMScheduler
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.training_step import kernels
from mtv_train import recipes
from mtv_train.config import ModelSettings
from mtv_train.sample.pipeline import MTVPipeline
from mtv_train.sample.track import Track
from mtv_train.train import components
from mtv_train.train.metrics import flops_of

RESULT = Path(__file__).parent / "results" / "sampling_full.md"
PROMPT, RATE, GUIDANCE, SHORT = "One person conversation. A street in the rain.", 16_000, 3.5, 4
SCHEDULE = {"timestep_spacing": "trailing", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}


@dataclass(frozen=True)
class Case:
    """How it is sampled."""

    name: str
    what: str
    flash: bool = False
    together: bool = False
    compiled: bool = False


CASES = (
    Case("flash", "guidance's branches one by one, PyTorch's own FlashAttention 2", flash=True),
    Case("plain", "torch's choice of attention (cuDNN's on Hopper)"),
    Case("batched", "guidance as one batch", together=True),
    Case("compile", "compiled blocks", together=True, compiled=True),
)


def make(model: ModelSettings, device: torch.device) -> MTVPipeline:
    """The pipeline with everything at random, made where it will work: a CPU would take minutes."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    transformer = components.make_transformer(model, 0, dtype, device).eval().requires_grad_(False)
    with device:
        tokenizer, text_encoder = components.make_text_encoder(model, 0, dtype)
        vae = components.make_vae(model, 0, dtype)
        audio_encoder = components.make_audio_encoder(model, 0).wav2vec
    made = MTVPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        audio_encoder=audio_encoder,
        vae=vae,
        transformer=transformer,
        scheduler=CogVideoXDPMScheduler(snr_shift_scale=1.0, **SCHEDULE),
    )
    made.set_progress_bar_config(disable=True)
    return made.to(device)


def caller(pipeline: MTVPipeline, case: Case) -> Callable[..., Any]:
    """One call of the pipeline, as a case has it."""
    seconds = 2 * pipeline.shape().frames / float(pipeline.fps)
    wave = np.random.default_rng(0).standard_normal((1, round(seconds * RATE))).astype(np.float32) * 0.1
    sound = {name: Track(wave, RATE) for name in pipeline.tracks}

    def call(steps: int, **options: Any) -> Any:
        generator = torch.Generator().manual_seed(0)
        given: dict[str, Any] = {"num_inference_steps": steps, "guidance_scale": GUIDANCE, "generator": generator}
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION) if case.flash else nullcontext():
            return pipeline(PROMPT, sound, batched_guidance=case.together, **{**given, **options})

    return call


def step_seconds(call: Callable[..., Any], steps: int, synchronize: Callable[[], None]) -> list[float]:
    """Of all steps of one call but the first."""
    moments: list[float] = []

    def note(_pipeline: Any, _step: int, _time: Any, given: dict[str, Tensor]) -> dict[str, Tensor]:
        synchronize()
        moments.append(time.perf_counter())
        return given

    call(steps, callback_on_step_end=note, output_type="latent")
    return [later - earlier for earlier, later in pairwise(moments)]


def whole(call: Callable[..., Any], steps: int, pipeline: MTVPipeline) -> tuple[float, float]:
    """Seconds of a whole video, and of its decoding."""
    began = time.perf_counter()
    latents = call(steps, output_type="latent").frames
    sampled = time.perf_counter()
    pipeline.shown(latents)
    ended = time.perf_counter()
    return ended - began, ended - sampled


def peaks(pipeline: MTVPipeline, call: Callable[..., Any], device: torch.device) -> list[str]:
    """Rows of the most GiB of a call of two steps, decoding included."""
    rows = []

    def note(how: str) -> None:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        began = time.perf_counter()
        try:
            call(2, output_type="pt")
            peak = f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f}"
        except torch.OutOfMemoryError:
            peak = "does not fit"
        rows.append(f"| {how} | {peak} | {time.perf_counter() - began:.1f} |")

    note("all on the GPU")
    pipeline.vae.enable_tiling()
    note("decoded in tiles")
    pipeline.to("cpu")
    pipeline.enable_model_cpu_offload(device=device)
    note("decoded in tiles, parts that do not work wait in the CPU's memory")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(c.name for c in CASES)} (all)")
    parser.add_argument("--recipe", default="mtv_5b")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=VALUE", help="over the recipe's settings")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, default=50, help="of the whole video")
    parser.add_argument("--profile", action="store_true", help="print what a call of one step goes into")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    given = parser.parse_args()
    device = torch.device(given.device)
    cuda = device.type == "cuda"
    cases = [case for case in CASES if not given.cases or case.name in given.cases]
    if not cases:
        parser.error(f"no such case; there are {', '.join(case.name for case in CASES)}")
    settings = recipes.load(given.recipe, None, ["model.weights=random", *given.set])
    flops = flops_of(settings).forward
    pipeline = make(settings.model, device)
    synchronize = (lambda: torch.cuda.synchronize(device)) if cuda else (lambda: None)

    window = settings.data.window
    where = torch.cuda.get_device_name(device) if cuda else "CPU"
    command = f"python -m benchmarks.sampling_full --recipe {given.recipe} --steps {given.steps}"
    lines = [
        "# A video of the full-size model, measured",
        "",
        f"`{command}{''.join(f' --set {text}' for text in given.set)}`; see its head for how it is measured.",
        f"{where}, torch {torch.__version__}, diffusers {diffusers.__version__}, {window.frames} x {window.height} x "
        f"{window.width}, guidance {GUIDANCE} (two branches, {2 * flops / 1e12:.0f} TFLOP a step).",
        "",
        "| case | what is added | s a step | TFLOP/s | s for 50 steps |",
        "|---|---|---:|---:|---:|",
    ]
    for case in cases:
        if case.compiled:
            pipeline.transformer.compile_repeated_blocks(fullgraph=True)
        taken = step_seconds(caller(pipeline, case), SHORT, synchronize)
        step = statistics.median(taken)
        if given.profile:
            print(kernels(partial(caller(pipeline, case), 1, output_type="latent"), device), flush=True)
        lines.append(f"| {case.name} | {case.what} | {step:.3f} | {2 * flops / step / 1e12:.0f} | {50 * step:.0f} |")
        print(lines[-1], flush=True)
    call = caller(pipeline, cases[-1])
    seconds, decoding = whole(call, given.steps, pipeline)
    lines += ["", f"A whole video of {given.steps} steps: {seconds:.1f} s, of them {decoding:.1f} s decoding."]
    print(lines[-1], flush=True)
    if cuda:
        lines += ["", "| two steps and decoding | GiB at most | s |", "|---|---:|---:|", *peaks(pipeline, call, device)]
    text = "\n".join([*lines, ""])
    print(text)
    if given.write:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
