"""Step time of an MTV block against diffusers' CogVideoX block of the same width, in one run.

    python -m benchmarks.mtv_block [--device cuda] [--width 512] [--repeats 15] [--write]

What the sound adds should cost what its FLOPs cost and no more: the ratio of step times is to stay within 1.1 times
the ratio of FLOPs. A step is one forward and backward pass with all parameters trained; FLOPs are torch's own count of
the same two passes. Both blocks take turns, on the same inputs, after two warm-up rounds; the fastest turn counts, for
what else goes on in a machine only adds. Tokens are the real proportions: 226 of text, 13 frames, 32 of sound per track
and frame.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXBlock
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mtv_train.model.block import Context, MTVBlock
from mtv_train.model.config import MTVSettings
from mtv_train.model.control import Control
from mtv_train.model.modulation import Steps
from mtv_train.model.rope import rotary_angles

RESULT = Path(__file__).parent / "results" / "mtv_block.md"
HEAD_DIM, TIME_DIM, TEXT, FRAMES = 64, 512, 226, 13
LIMIT = 1.1
"""Times the ratio of FLOPs that the ratio of step times may be."""


@dataclass(frozen=True)
class Case:
    """One size, measured."""

    width: int
    grid: tuple[int, int]
    clean: bool
    flops: tuple[int, int]
    seconds: tuple[float, float]

    @property
    def flop_ratio(self) -> float:
        return self.flops[1] / self.flops[0]

    @property
    def time_ratio(self) -> float:
        return self.seconds[1] / self.seconds[0]

    def row(self) -> str:
        height, wide = self.grid
        size = f"{self.width} | {TEXT} + {FRAMES} x {height} x {wide} | {'yes' if self.clean else 'no'}"
        flops = " | ".join(f"{count / 1e9:.1f}" for count in self.flops)
        times = " | ".join(f"{seconds * 1e3:.1f}" for seconds in self.seconds)
        share = self.time_ratio / self.flop_ratio
        return f"| {size} | {flops} | {self.flop_ratio:.3f} | {times} | {self.time_ratio:.3f} | {share:.3f} |"


def measure(width: int, grid: tuple[int, int], clean: bool, device: torch.device, repeats: int) -> Case:
    """Both blocks at one size."""
    torch.manual_seed(0)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    heads, settings = width // HEAD_DIM, MTVSettings(zero_init=False)
    shape = {"num_attention_heads": heads, "attention_head_dim": HEAD_DIM, "time_embed_dim": TIME_DIM}
    theirs = CogVideoXBlock(dim=width, attention_bias=True, **shape).to(device, dtype)
    ours = MTVBlock(settings, dim=width, attention_bias=True, **shape).to(device, dtype)

    def random(*size: int) -> Tensor:
        return torch.randn(*size, device=device, dtype=dtype).requires_grad_(True)

    height, wide = grid
    text, step = random(1, TEXT, width), random(1, TIME_DIM)
    video = random(1, FRAMES, height * wide, width)
    backbone = {
        "use_rotary_positional_embeddings": True,
        "patch_size": 2,
        "sample_height": 2 * height,
        "sample_width": 2 * wide,
        "attention_head_dim": HEAD_DIM,
    }
    rope = rotary_angles(backbone, FRAMES, 2 * height, 2 * wide, device)
    tokens = tuple(random(1, FRAMES, settings.audio_tokens, settings.audio_dim) for _ in settings.interval_tracks)
    frames = torch.arange(FRAMES, device=device)[None] == 0
    steps = Steps(step, random(1, TIME_DIM), frames) if clean else Steps(step)
    context = Context(steps, Control(tokens, random(1, settings.audio_dim)), rope)

    def plain() -> None:
        _backward(theirs(video.flatten(1, 2), text, step, rope))

    def sounding() -> None:
        _backward(ours(video, text, context))

    flops = (_flops(plain), _flops(sounding))
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats + 2):
        for index, pass_ in enumerate((plain, sounding)):
            seconds = _seconds(pass_, device)
            if turn >= 2:
                times[index].append(seconds)
    return Case(width, grid, clean, flops, (min(times[0]), min(times[1])))


def _backward(outputs: tuple[Tensor, Tensor]) -> None:
    torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])


def _flops(pass_: Callable[[], None]) -> int:
    # Fused attention computes its scores again when it goes back; the count is of the maths alone.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        pass_()
    return counter.get_total_flops()


def _seconds(pass_: Callable[[], None], device: torch.device) -> float:
    """Of the wall on a GPU; of this process on a CPU, where others run beside it."""
    if device.type == "cpu":
        start = time.process_time()
        pass_()
        return time.process_time() - start
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    pass_()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def page(cases: list[Case], device: torch.device) -> str:
    """The result as Markdown."""
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    worst = max(case.time_ratio / case.flop_ratio for case in cases)
    lines = [
        "# An MTV block against CogVideoX's block, measured",
        "",
        "Written by `python -m benchmarks.mtv_block --write`; see its head for how it is measured.",
        f"{where} ({platform.machine()}), torch {torch.__version__}, {'bf16' if device.type == 'cuda' else 'fp32'}, "
        "not compiled.",
        "",
        "| width | tokens | clean frame | GFLOP, theirs | ours | ratio | ms, theirs | ours | ratio | of FLOP ratio |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(case.row() for case in cases),
        "",
        f"Largest time ratio over FLOP ratio: {worst:.3f} (limit {LIMIT}).",
    ]
    if device.type != "cuda":
        lines.append(
            "\nThese are sizes that a CPU can do, not the 5B model's; they show that nothing but FLOPs is added."
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--width", type=int, action="append", help="of the blocks; can be repeated (512 and 1024)")
    parser.add_argument("--grid", default="8x12", help="patches of a frame, height x width (30x45 at full size)")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    given = parser.parse_args()
    height, wide = (int(side) for side in given.grid.split("x"))
    device = torch.device(given.device)
    widths = given.width or [512, 1024]
    cases = [measure(w, (height, wide), clean, device, given.repeats) for w in widths for clean in (False, True)]
    text = page(cases, device)
    print(text)
    if given.write:
        RESULT.write_text(text, encoding="utf-8")
    if any(case.time_ratio > LIMIT * case.flop_ratio for case in cases):
        raise SystemExit(f"an MTV block costs more than {LIMIT} times what its FLOPs cost")


if __name__ == "__main__":
    main()
