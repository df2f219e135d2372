"""Peak memory of a process that samples a long video, over the video's length.

    python -m benchmarks.long_memory [--seconds 10 60 300] [--height 192] [--write]

What a long video takes must not grow with it, but for its sound. The model is made up and tiny, windows are those of
the paper (49 frames that overlap by five), and each number is a process of its own. One step, no guidance: the memory
is that of fifty.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "long_memory.md"
SECONDS = (10, 60, 300)
RATE, FPS = 16_000, 24


def sample(seconds: int, height: int) -> None:
    """Samples one video; prints the peak of this process in MB, what it was before, and the seconds it took."""
    import numpy as np
    import soundfile
    import torch

    from mtv_train.recipes.tiny import tiny, tiny_model
    from mtv_train.sample.make import Maker
    from mtv_train.sample.pipeline import MTVPipeline
    from mtv_train.sample.request import Request
    from mtv_train.train import components
    from mtv_train.train.export import _scheduler

    model = tiny_model()
    size = {"sample_frames": 49, "sample_height": height // 8, "sample_width": height * 3 // 2 // 8}
    backbone = model.backbone.model_copy(update={**size, "use_learned_positional_embeddings": False})
    model = model.model_copy(update={"backbone": backbone})
    tokenizer, text_encoder = components.make_text_encoder(model, 0, torch.float32)
    pipeline = MTVPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        audio_encoder=components.make_audio_encoder(model, 0).wav2vec,
        vae=components.make_vae(model, 0, torch.float32),
        transformer=components.make_transformer(model, 0, torch.float32).eval(),
        scheduler=_scheduler(tiny()),
    )
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "s.wav"
        soundfile.write(sound, np.random.default_rng(0).normal(0, 0.1, seconds * RATE).astype(np.float32), RATE)
        request = Request(prompt="A street.", speech=str(sound), long=True, steps=1, guidance=1)
        began, before = time.perf_counter(), _peak()
        note = Maker(pipeline, {"folder": "made up"}).make(request, Path(folder) / "out.mp4")
    assert note["video"]["frames"] == seconds * FPS
    print(f"{_peak():.0f} {before:.0f} {time.perf_counter() - began:.0f}")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measured(seconds: int, height: int) -> tuple[int, int, int]:
    """(MB at the peak, MB before, seconds it took) of a process of its own."""
    command = [sys.executable, "-m", "benchmarks.long_memory", "--alone", str(seconds), "--height", str(height)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return int(said[0]), int(said[1]), int(said[2])


def report(found: dict[int, tuple[int, int, int]], height: int) -> str:
    first = next(iter(found.values()))[0]
    lines = [
        "# Memory of a long video",
        "",
        f"`python -m benchmarks.long_memory --seconds {' '.join(map(str, found))} --height {height}`; see its head.",
        "",
        "| length, s | pictures, MB | peak resident memory, MB | over the shortest | before sampling, MB | s to make |",
        "|---|---|---|---|---|---|",
        *(
            f"| {seconds} | {seconds * FPS * height * height * 3 // 2 * 3 / 1e6:,.0f} | {peak:,} | {peak / first:.2f} "
            f"| {before:,} | {took:,} |"
            for seconds, (peak, before, took) in found.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, nargs="+", default=SECONDS)
    parser.add_argument("--height", type=int, default=96, help="pixels; the width is one and a half times it")
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    arguments = parser.parse_args()
    if arguments.alone:
        sample(arguments.alone, arguments.height)
        return
    text = report({seconds: measured(seconds, arguments.height) for seconds in arguments.seconds}, arguments.height)
    print(text)
    if arguments.write:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
