"""The ranks of a run: joined from torchrun's or Ray Train's environment, or one process by itself."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from demix.config import ConfigError


@dataclass(frozen=True)
class World:
    """This process among the others. `device`: where its share of the model lies."""

    rank: int
    size: int
    local_rank: int
    device: torch.device
    control: dist.ProcessGroup
    """A gloo group of all ranks for small things on the CPU: counts, names, barriers."""
    saving: dist.ProcessGroup
    """Another, for checkpoints alone: a save talks from a thread of its own, and must not cross what the loop says."""
    owned: bool = True
    """Whether `leave` ends the process group; one that Ray Train made is left alone."""

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes what is written once."""
        return self.rank == 0

    @property
    def name(self) -> str:
        return f"rank {self.rank} of {self.size} ({socket.gethostname()}, {self.device})"

    def barrier(self) -> None:
        """Wait for all ranks."""
        dist.barrier(group=self.control)

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in the order of ranks, on every rank. For small things."""
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self.control)
        return values

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """Of each flag, whether some rank has it up; the same on every rank. Cheap enough for every step."""
        raised = torch.tensor([bool(flag) for flag in flags], dtype=torch.uint8)
        dist.all_reduce(raised, dist.ReduceOp.MAX, group=self.control)
        return [bool(flag) for flag in raised.tolist()]

    def share(self, value: Any) -> Any:
        """The first rank's value, on every rank."""
        values = [value]
        dist.broadcast_object_list(values, src=0, group=self.control)
        return values[0]

    def leave(self) -> None:
        """End the process group."""
        if self.owned and dist.is_initialized():
            dist.destroy_process_group()


def join(device: str = "auto", timeout_minutes: float = 30.0) -> World:
    """Join the ranks that the environment names (RANK, WORLD_SIZE, LOCAL_RANK), or be a world of one.

    `device`: "cpu", "cuda", or "auto": a GPU where there is one. Tensors of the model travel by NCCL between GPUs and
    by gloo between CPUs. Raises `ConfigError` where a GPU is asked for and absent.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device {device}: expected auto, cpu or cuda")
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise ConfigError("--device cuda: torch sees no GPU here; check nvidia-smi, or give --device cpu")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = torch.device("cuda", local) if cuda and device != "cpu" else torch.device("cpu")
    if chosen.type == "cuda":
        if local >= torch.cuda.device_count():
            raise ConfigError(
                f"local rank {local} has no GPU of its own: {torch.cuda.device_count()} here; lower --nproc-per-node"
            )
        torch.cuda.set_device(chosen)
    owned = not dist.is_initialized()
    timeout = timedelta(minutes=timeout_minutes)
    if owned:
        _start(chosen, timeout)
    control = dist.new_group(backend="gloo", timeout=timeout)
    saving = dist.new_group(backend="gloo", timeout=timeout)
    return World(dist.get_rank(), dist.get_world_size(), local, chosen, control, saving, owned)


def _start(device: torch.device, timeout: timedelta) -> None:
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    if "RANK" in os.environ and "MASTER_ADDR" in os.environ:
        dist.init_process_group(backend, timeout=timeout)
    else:  # alone: no port, no environment
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1, timeout=timeout)
