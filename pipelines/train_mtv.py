"""Train MTV under Ray Train, on the cluster that built the dataset.

    python pipelines/train_mtv.py mtv_5b --data DATASET --run RUNS/x --ranks 24                on the cluster at hand
    ray job submit --working-dir . -- python pipelines/train_mtv.py mtv_5b --data ... --ranks 24
    ray submit cluster/on_prem.yaml pipelines/train_mtv.py -- mtv_5b --data ... --ranks 24

The loop, the options and the numbers are those of `python -m mtv_train train`; only the ranks are started by Ray, which
also starts them again after a failure (--max-failures): they go on from the last committed checkpoint. RUN must be a
folder that all nodes see.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# `ray submit` and `ray job submit` run this file where the package may not be installed, only copied.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demix.command_line import run
from mtv_train.cli import add_training

ROOT = sys.path[0]


def main() -> int:
    """Runs the training and waits for it; the exit status is that of `mtv_train`."""
    args = arguments()
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from demix.engine import ray_start
    from mtv_train.commands.train import settings_of, summary
    from mtv_train.train.checkpoint import committed, read_state
    from mtv_train.train.state import Position

    settings = settings_of(args)
    ray_start.start(args.address, log_to_driver=True, runtime_env={"env_vars": {"PYTHONPATH": ROOT}})
    gpus = args.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0
    wants = {"CPU": args.cpus, **({"GPU": 1.0} if gpus else {})}
    trainer = TorchTrainer(
        train_on_rank,
        train_loop_config={
            "settings": settings.model_dump(mode="json"),
            "run": str(args.run.absolute()),
            "options": {
                "device": "cuda" if gpus else "cpu",
                "accept_changes": args.accept_changes,
                "skip_empty_stages": args.skip_empty_stages,
                "stop_after": args.stop_after,
            },
        },
        scaling_config=ScalingConfig(num_workers=args.ranks, use_gpu=gpus, resources_per_worker=wants),
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if gpus else "gloo"),
        run_config=RunConfig(
            name="ray", storage_path=str(args.run.absolute()), failure_config=FailureConfig(args.max_failures)
        ),
    )
    trainer.fit()
    state = read_state(args.run, committed(args.run)[-1])
    print(summary(args.run, Position.from_json(state["position"])))
    return 0


def arguments() -> argparse.Namespace:
    """The options of `mtv_train train`, and Ray's."""
    parser = argparse.ArgumentParser(
        description="Train MTV under Ray Train.", epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_training(parser)
    group = parser.add_argument_group("Ray")
    group.add_argument("--ranks", type=int, default=1, help="processes, one a GPU (default: 1)")
    group.add_argument("--cpus", type=float, default=1, help="CPUs that a rank asks for (default: 1)")
    group.add_argument("--address", help="cluster to join, or `local` (default: the one here, else a local one)")
    group.add_argument("--max-failures", type=int, default=3, help="times that ranks are started again (default: 3)")
    return parser.parse_args()


def train_on_rank(config: Mapping[str, Any]) -> None:
    """One rank: Ray has made the process group; the rest is the loop of `mtv_train train`."""
    from demix.processes import leave_terminal

    leave_terminal()
    import ray.train

    from mtv_train.config import TrainSettings
    from mtv_train.train.session import Options, train

    train(
        TrainSettings.model_validate(config["settings"]),
        Path(config["run"]),
        Options(**config["options"]),
        on_report=lambda numbers: ray.train.report(dict(numbers)),
    )


if __name__ == "__main__":
    sys.exit(run("train_mtv", main, "give the same command again to go on from the last checkpoint"))
