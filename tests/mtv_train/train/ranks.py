"""Several ranks on one machine: forked from the test process, so that each need not import torch again."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import torch

from mtv_train.distributed.names import parameter_name
from tests.mtv_train.train.toy import Toy

_CONTEXT = multiprocessing.get_context("fork")


def in_ranks(size: int, function: Callable[..., Any], *arguments: Any, timeout: float = 240.0) -> list[Any]:
    """What `function(*arguments)` returns on each of `size` ranks; fails with the traceback of a rank that fails."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    answers: SimpleQueue[tuple[int, Any, str]] = _CONTEXT.SimpleQueue()
    processes = [
        _CONTEXT.Process(target=_rank, args=(rank, size, port, answers, function, arguments)) for rank in range(size)
    ]
    for process in processes:
        process.start()
    results: dict[int, Any] = {}
    try:
        for _ in processes:
            if not answers._reader.poll(timeout):  # type: ignore[attr-defined]
                raise AssertionError(f"no answer within {timeout} s; answered: {sorted(results)}")
            rank, result, failure = answers.get()
            assert not failure, f"rank {rank} of {size}:\n{failure}"
            results[rank] = result
    finally:
        for process in processes:
            process.join(20)
            process.kill()
    return [results[rank] for rank in range(size)]


def _rank(rank: int, size: int, port: int, answers: Any, function: Callable[..., Any], arguments: Any) -> None:
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    try:
        answers.put((rank, function(*arguments), ""))
    except BaseException:
        answers.put((rank, None, traceback.format_exc()))


def train_toy(toy: Callable[[], Toy]) -> dict[str, torch.Tensor]:
    """Trains a toy run on this rank; its parameters, whole, by name, and its moving averages as "ema.<name>"."""
    made = toy()
    trainer = made.trainer()
    trainer.fit()
    values = {parameter_name(name): parameter for name, parameter in trainer.model.named_parameters()}
    if trainer.ema is not None:
        values |= {f"ema.{name}": value for name, value in trainer.ema.average.items()}
    whole = {name: getattr(value, "full_tensor", lambda value=value: value)() for name, value in values.items()}
    made.world.leave()
    # As numpy: torch would hand tensors over through shared memory that dies with the rank.
    return {name: value.detach().numpy() for name, value in whole.items()}


def losses(run: Path) -> dict[tuple[str, int], tuple[str, float]]:
    """Every sample that a run was trained on: (stage, k) -> (key, loss), the last time that it was."""
    rows: dict[tuple[str, int], tuple[str, float]] = {}
    for path in sorted(run.glob("samples-*.jsonl"), key=lambda path: path.stat().st_mtime):
        for text in path.read_text().splitlines():
            row = json.loads(text)
            rows[row["stage"], row["k"]] = (row["key"], row["loss"])
    return rows
