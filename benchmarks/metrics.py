"""Videos a second of each metric of the evaluation, decoding apart, on generated videos of MTV's size.

    python -m benchmarks.metrics [--videos 2] [--frames 49] [--networks full-size] [--device auto] [--write]

Weights need not be right to be timed: `full-size` networks are random ones of the released sizes, `tiny` ones show what
the preprocessing costs. Faces are not looked for: there is one in the middle of every picture. `--write` puts the
outcome into benchmarks/results/metrics.md, or metrics_gpu.md.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from pathlib import Path

import torch

from mtv_train.evaluate.metric import Unscorable
from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.suite import METRICS, SUITES, metric_class
from mtv_train.evaluate.video import Clip, Video, read_clip
from tests.mtv_train.evaluate.full_size import FullSize
from tests.mtv_train.evaluate.making import beeps, moving, write_video

RESULTS = {"cpu": "metrics.md", "cuda": "metrics_gpu.md"}
"""By device, beside this file in `results`."""
NETWORKS = {**SUITES, FullSize.name: FullSize}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=2)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--networks", choices=tuple(NETWORKS), default=FullSize.name)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    found = {"auto": "cuda" if torch.cuda.is_available() else "cpu"}.get(options.device, options.device)
    device = torch.device(found)
    settings = EvaluateSettings.model_validate({"fvd": {"frames": options.frames}, "sync": {"min_track": 20}})
    suite = NETWORKS[options.networks](settings, device)
    with tempfile.TemporaryDirectory() as folder:
        videos = [_video(Path(folder), seed, options.frames) for seed in range(1, options.videos + 1)]
        began = time.perf_counter()
        clips = [read_clip(video, max_seconds=30) for video in videos]
        decoding = time.perf_counter() - began
    lines = [_row("decoding (one at a time)", len(clips), decoding)]
    for name in METRICS:
        metric = metric_class(name).build(settings, suite, device)
        _measure(metric, clips[:1], device)  # compiles, and fills caches
        lines.append(_row(name, len(clips), _measure(metric, clips, device)))
    threads = f"{torch.get_num_threads()} thread(s) of a CPU"
    card = f"{torch.cuda.get_device_name()} and {threads}" if found == "cuda" else threads
    text = "\n".join(
        [
            "# Evaluation: videos a second",
            "",
            f"{options.videos} videos of {options.frames} frames, 480x720; networks: {suite.name}; {card}; "
            f"Python {platform.python_version()}, torch {torch.__version__}.",
            "",
            "| metric | seconds a video | videos a second |",
            "|---|---:|---:|",
            *lines,
            "",
            *([f"Networks: {suite.note}."] if suite.note else []),
            "Preprocessing included, which is the processor's; of `sync`, faces are not looked for.",
        ]
    )
    print(text)
    if options.write:
        (Path(__file__).parent / "results" / RESULTS[found]).write_text(text.rstrip() + "\n", encoding="utf-8")
    return 0


def _video(folder: Path, seed: int, frames: int) -> Video:
    path = write_video(folder / f"{seed}.mp4", moving(seed, frames, (480, 720)), beeps(seed, frames / 24))
    return Video(path.name, path, f"A square of pattern {seed}.")


def _measure(metric: object, clips: list[Clip], device: torch.device) -> float:
    began = time.perf_counter()
    for clip in clips:
        try:
            with torch.inference_mode():
                metric.measure(clip)  # type: ignore[attr-defined]
        except Unscorable as reason:
            raise SystemExit(f"{clip.name}: {reason}") from reason
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _row(name: str, videos: int, seconds: float) -> str:
    return f"| {name} | {seconds / videos:.2f} | {videos / seconds:.2f} |"


if __name__ == "__main__":
    raise SystemExit(main())
