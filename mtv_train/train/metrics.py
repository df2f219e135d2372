"""What a run measures of itself between two log lines, and the line."""

from __future__ import annotations

import logging
import math
import re
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from demix.config import ConfigError
from mtv_train.config import LogSettings, TrainSettings
from mtv_train.distributed.world import World
from mtv_train.model.flops import FlopCount, count_flops

PEAK_TFLOPS = {
    "A10": 125.0,
    "A30": 165.0,
    "A40": 149.7,
    "A100": 312.0,
    "A800": 312.0,
    "RTX A6000": 154.8,
    "L4": 121.0,
    "L40": 181.0,
    "L40S": 362.0,
    "RTX 6000 Ada": 364.2,
    "H20": 148.0,
    "H100": 989.0,
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H800": 989.0,
    "H800 PCIe": 756.0,
    "H200": 989.0,
    "H200 NVL": 836.0,
    "GH200": 989.0,
    "B200": 2250.0,
    "B300": 2250.0,
    "GB200": 2500.0,
    "GB300": 2500.0,
    "MI250X": 383.0,
    "MI300X": 1307.0,
    "MI325X": 1307.0,
}
"""Dense bf16 of GPUs in TFLOP/s, by words of their names (makers' data sheets). The longest that fits counts."""


log = logging.getLogger("mtv_train")


class NotFinite(ConfigError):
    """The loss or the gradient's norm became infinite or no number; the message says since when, and how to go on: the
    same command would end in the same place."""


def flops_of(settings: TrainSettings) -> FlopCount:
    """FLOPs of one sample of a recipe."""
    frames, _, height, width = settings.latent_shape
    model = settings.model
    shape = {"frames": frames, "height": height, "width": width}
    return count_flops(
        model.backbone.config, model.mtv, trainable=model.train_backbone, adapters=model.lora.rank, **shape
    )


def peak_tflops(settings: LogSettings, device: torch.device) -> float:
    """What a device can do, 0 where that is not known: for CPUs, and for GPUs that the log then names."""
    if settings.peak_tflops or device.type != "cuda":
        return settings.peak_tflops
    name = torch.cuda.get_device_name(device)
    peak = peak_of(name)
    if not peak:
        log.warning("%s: its peak is not known here, so no MFU is shown; give log.peak_tflops", name)
    return peak


def peak_of(name: str) -> float:
    """A GPU's peak by the name that its driver gives it; 0 where it is not known."""
    fitting = [known for known in PEAK_TFLOPS if re.search(rf"\b{re.escape(known)}\b", name)]
    return PEAK_TFLOPS[max(fitting, key=len)] if fitting else 0.0


@dataclass
class Meter:
    """What a rank gathers between two log lines. Losses stay on the device until then."""

    losses: list[tuple[tuple[str, ...], Tensor]] = field(default_factory=list)
    norms: list[Tensor] = field(default_factory=list)
    waited: float = 0.0
    bad: int = 0
    cut: int = 0
    """Captions of which the text encoder does not read the end."""
    began: float = field(default_factory=time.monotonic)

    def add(self, subsets: Sequence[str], losses: Tensor) -> None:
        """A micro-batch."""
        self.losses.append((tuple(subsets), losses.detach()))

    def gathered(self, world: World) -> dict[str, Any]:
        """All ranks' numbers since the meter began, the same on every rank."""
        sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
        for subsets, losses in self.losses:
            for subset, loss in zip(subsets, losses.tolist(), strict=True):
                sums[subset][0] += loss
                sums[subset][1] += 1
        seconds = time.monotonic() - self.began
        mine = {
            "sums": dict(sums),
            "waited": self.waited,
            "bad": self.bad,
            "cut": self.cut,
            "memory": memory_gib(world.device),
        }
        ranks = world.gather(mine)
        totals: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
        for rank in ranks:
            for subset, (total, count) in rank["sums"].items():
                totals[subset][0] += total
                totals[subset][1] += count
        samples = sum(int(count) for _, count in totals.values())
        norms = [float(norm) for norm in self.norms]
        return {
            "loss": sum(total for total, _ in totals.values()) / max(1, samples),
            "losses": {subset: total / count for subset, (total, count) in sorted(totals.items())},
            "grad_norm": sum(norms) / max(1, len(norms)),
            "seconds_per_step": seconds / max(1, len(norms)),
            "samples_per_second": samples / seconds,
            "data_wait": max(rank["waited"] for rank in ranks) / seconds,
            "memory_gib": max(rank["memory"] for rank in ranks),
            "bad_samples": sum(rank["bad"] for rank in ranks),
            "captions_cut": sum(rank["cut"] for rank in ranks),
        }


def refuse_not_finite(numbers: Mapping[str, Any], first: int, last: int, saved: int | None) -> None:
    """Raises `NotFinite` where numbers of steps `first` to `last` are not. `saved`: the newest checkpoint's step."""
    if math.isfinite(numbers["loss"]) and math.isfinite(numbers["grad_norm"]):
        return
    calmer = "a lower optim.lr or optim.clip, or more optim.warmup_steps"
    remedy = (
        f"the checkpoint of step {saved} is from before it: give the command again with {calmer}, and --accept-changes"
        if saved is not None
        else f"there is no checkpoint yet: begin again in another --run with {calmer}"
    )
    raise NotFinite(
        f"loss {numbers['loss']}, gradient norm {numbers['grad_norm']} in steps {first} to {last} (by subset: "
        f"{numbers['losses']}); {remedy}"
    )


def memory_gib(device: torch.device) -> float:
    """Most memory in use so far: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def flat_numbers(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested numbers as "a/b": value, TensorBoard's way."""
    leaves: dict[str, Any] = {}
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            leaves.update({f"{name}/{key}": inner for key, inner in value.items()})
        else:
            leaves[name] = value
    return leaves


def line(numbers: Mapping[str, Any]) -> str:
    """The log line."""
    losses = " ".join(f"{subset} {loss:.4f}" for subset, loss in numbers["losses"].items())
    cut = f", {numbers['captions_cut']} captions cut" if numbers.get("captions_cut") else ""
    mfu = f" mfu {numbers['mfu']:.1%}" if numbers.get("mfu") else ""
    return (
        f"step {numbers['step']}/{numbers['steps']}"
        f" [{numbers['stage']} {numbers['stage_step']}/{numbers['stage_steps']}]"
        f" loss {numbers['loss']:.4f} ({losses}) grad {numbers['grad_norm']:.3g} lr {numbers['lr']:.2e}"
        f" | {numbers['seconds_per_step']:.2f} s/step {numbers['samples_per_second']:.2f} samples/s"
        f" {numbers['tflops']:.3g} TFLOP/s{mfu} data {numbers['data_wait']:.0%} memory {numbers['memory_gib']:.1f} GiB"
        f" | {numbers['total_samples']} samples, {numbers['bad_samples']} bad{cut}"
    )
