"""The paper's ablations (table 2: W/o SE, W/o SI, W/o TB) and the full model, at the smallest size, from end to end.

    python pipelines/ablation_demo.py --data demo/dataset --out demo/ablation

Trains each for a few steps, samples the paper's test with each, and scores all of them in one table. Every step of the
way is the command that a person would type, so the same path works for the real models; the numbers of this one mean
nothing: the model is tiny and hardly trained, and the metrics look through random networks.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# As the other pipelines: the package may not be installed where this file is.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demix import processes
from demix.command_line import run

ROOT = sys.path[0]
VARIANTS: dict[str, tuple[str, ...]] = {
    "full": (),
    "without_se": ("model.mtv.extraction=joint",),
    "without_si": ("model.mtv.injection=shared",),
    "without_tb": ("model.train_backbone=none",),
}
"""Name -> what differs from the tiny recipe, as in the recipes of the same names."""
QUIET = ("validation.every=0", "log.tensorboard=false", "checkpoint.keep_every=0")
_GRACE = 10.0
"""Seconds that a command has to end itself when this one is interrupted."""


def main() -> int:
    """Runs it all; the exit status of the first command that fails, or of the evaluation."""
    args = arguments()
    frames = args.frames
    shape = (
        f"model.backbone.sample_frames={frames}",
        f"data.window.frames={frames}",
        f"data.window.stride={frames - 1}",
    )
    jobs = args.out / "jobs.jsonl"
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        clips = ("--count", args.clips, "--frames", frames, "--media", args.out / "tracks")
        jobs.write_text(mtv_train("protocol", args.data, *clips), encoding="utf-8")
        for name, changes in VARIANTS.items():
            print(f"== {name}", flush=True)
            run, model = args.out / name / "run", args.out / name / "model"
            settings = [f"stages.{stage}.steps={args.steps}" for stage in stages()]
            changed = [word for text in (*shape, *settings, *QUIET, *changes) for word in ("--set", text)]
            mtv_train("train", "tiny", "--data", args.data, "--run", run, "--skip-empty-stages", *changed)
            if not model.exists():
                mtv_train("export", run, model)
            videos = args.out / name / "videos"
            mtv_train("sample", model, "--jobs", jobs, "--out", videos, "--steps", args.sampling_steps)
        print("== evaluation", flush=True)
        folders = [f"{name}={args.out / name / 'videos'}" for name in VARIANTS]
        first = ("--set", f"fvd.frames={max(frames, 10)}")
        print(mtv_train("evaluate", "--compare", *folders, "--reference", args.data, "--paper", "--networks", "tiny",
                        "--cache", args.out / "cache", "--out", args.out / "report", *first))  # fmt: skip
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train, sample and score the ablations.",
        epilog=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, metavar="DATASET", help="a DEMIX dataset with a test split")
    parser.add_argument("--out", type=Path, default=Path("ablation"), metavar="DIR", help="(default: ablation)")
    parser.add_argument("--steps", type=int, default=5, help="training steps a stage (default: 5)")
    parser.add_argument("--clips", type=int, default=2, help="of the test split (default: 2; the demo has 3)")
    parser.add_argument("--frames", type=int, default=13, help="of a video, 1 + 4n (default: 13)")
    parser.add_argument("--sampling-steps", type=int, default=8, help="(default: 8)")
    return parser.parse_args()


def stages() -> Sequence[str]:
    """The names of the tiny recipe's stages."""
    from mtv_train.recipes.tiny import tiny

    return list(tiny().stages)


def mtv_train(*words: object) -> str:
    """What one command prints; its progress goes on to this one's. Raises `CalledProcessError`, after printing it."""
    command = [sys.executable, "-m", "mtv_train", *map(str, words)]
    done = processes.run(command, stdout=subprocess.PIPE, text=True, env=environment(), grace=_GRACE)
    if done.returncode:
        print(done.stdout)
        done.check_returncode()
    return done.stdout


def environment() -> dict[str, str]:
    """This one's, with the project to be found."""
    paths = [ROOT, os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


if __name__ == "__main__":
    sys.exit(run("ablation_demo", main, "give the same command again to go on where it stopped"))
