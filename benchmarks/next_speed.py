"""What to do next for speed, decided by five minutes of a GPU: attention kernels, fp8 products, what to keep, caches.

    python -m benchmarks.next_speed [PART...] [--size full] [--out FILE]

Parts: `attention`, `products`, `training`, `sampling`, in this order; a later one takes the winner of an earlier one
from FILE. FILE (JSON) is written after every case, so what was measured stays whatever ends the run, and parts can be
run one by one. `--size tiny` tries all of it on a processor, where the times mean nothing. What a kernel or device
cannot do is noted with the reason.

The rules that decide (`decisions` in FILE): another attention is taken where forward and backward together are faster
by 1.08; fp8 for the feed-forward where both its products are, casting included, by 1.35, and the training step is
faster too; work on gaps is left where they are less than 3 % of a step.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import (
    SDPBackend,
    activate_flash_attention_impl,
    list_flash_attention_impls,
    restore_flash_attention_impl,
    sdpa_kernel,
)

from benchmarks.fp8 import FrozenLinear, cast_rows, cast_whole, product
from benchmarks.sampling_full import Case, caller, make, step_seconds
from benchmarks.training_step import emptied, make_trainer, samples, settings_of, timed
from mtv_train.config import TrainSettings
from mtv_train.distributed import activation
from mtv_train.distributed.world import World, join
from mtv_train.train.components import make_transformer
from mtv_train.train.metrics import flops_of

RESULT = Path(__file__).parent / "results" / "next_speed.json"
ATTENTION_GAIN, FP8_GAIN, GAPS = 1.08, 1.35, 0.03
GATE = 0.4
"""Share of the sampling steps in which the unconditional branch is left out."""
Found = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """What is measured."""

    heads: int
    tokens: int
    head_dim: int
    products: tuple[tuple[int, int], ...]
    """(K, N) of each; the last two are the feed-forward's."""
    recipe: str
    layers: int
    """Blocks of the training step."""
    times: int
    set: tuple[str, ...] = ()


SIZES = {
    "full": Size(48, 17_776, 64, ((3072, 3072), (3072, 12_288), (12_288, 3072)), "mtv_5b", 8, 5),
    "tiny": Size(2, 64, 16, ((32, 32), (32, 128), (128, 32)), "tiny", 2, 1, ("parallel.compile=false",)),
}


class Notes:
    """What was found, by part and case, on the disk after every case."""

    def __init__(self, path: Path):
        self.path = path
        self.found: dict[str, Found] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def put(self, part: str, case: str, found: Found) -> None:
        self.found.setdefault(part, {})[case] = found
        self.found["decisions"] = decisions(self.found)
        aside = self.path.with_name(f".{self.path.name}.partial")
        aside.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")
        os.replace(aside, self.path)
        print(f"{part}, {case}: {json.dumps(found)}", flush=True)

    def measure(self, part: str, case: str, work: Callable[[], Found]) -> None:
        """One case; one that cannot be done is noted with the reason."""
        began = time.perf_counter()
        try:
            found = work()
        except (RuntimeError, ImportError, ValueError, NotImplementedError, AssertionError) as error:
            found = {"cannot": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"}
        self.put(part, case, {**found, "took": round(time.perf_counter() - began, 1)})


def decisions(found: Mapping[str, Found]) -> Found:
    """What follows from what was measured so far."""
    decided: Found = {"attention": best_attention(found)}
    products = {name: case for name, case in found.get("products", {}).items() if "bf16" in case}
    gains = [case["bf16"] / case["rowwise"] for case in list(products.values())[1:] if case.get("rowwise")]
    steps = {name: case["seconds"] for name, case in found.get("training", {}).items() if "seconds" in case}
    if gains and "fp8" in steps and "kept" in steps:
        decided["fp8 feed-forward"] = min(gains) >= FP8_GAIN and steps["fp8"] < steps["kept"]
    if "kept" in steps and "attention" in steps:
        decided["keep the feed-forward's hidden layer"] = steps["kept"] < steps["attention"]
    gaps = found.get("training", {}).get("base", {}).get("classes", {}).get("gaps")
    if gaps is not None:
        decided["work on gaps"] = gaps / steps["base"] >= GAPS
    return decided


def best_attention(found: Mapping[str, Found]) -> str:
    """The fastest forward and backward, if it is faster enough than torch's own choice; "torch" otherwise."""
    cases = {name: case["both"] for name, case in found.get("attention", {}).items() if case.get("both")}
    if "torch" not in cases:
        return "torch"
    fastest = min(cases, key=lambda name: cases[name])
    return fastest if cases["torch"] / cases[fastest] >= ATTENTION_GAIN else "torch"


def often(work: Callable[[], Any], device: torch.device, times: int) -> float:
    """Median seconds, after one time that does not count."""
    taken = [timed(work, device) for _ in range(1 + times)]
    return statistics.median(taken[1:])


# attention


@contextmanager
def attention_of(name: str) -> Iterator[None]:
    """Scaled dot-product attention by one implementation, of those of `attention_names`, inside the block."""
    with ExitStack() as stack:
        if name in list_flash_attention_impls():
            activate_flash_attention_impl(name)
            stack.callback(restore_flash_attention_impl)
        if name == "sage2":
            from sageattention import sageattn

            stack.enter_context(patch.object(F, "scaled_dot_product_attention", sageattn))
        elif name != "torch":
            kind = SDPBackend.CUDNN_ATTENTION if name == "cudnn" else SDPBackend.FLASH_ATTENTION
            stack.enter_context(sdpa_kernel(kind))
        yield


def attention_names(device: torch.device) -> list[str]:
    """`torch`: its own choice."""
    return ["torch", "flash", *(["cudnn", *list_flash_attention_impls(), "sage2"] if device.type == "cuda" else [])]


def attention(notes: Notes, size: Size, device: torch.device) -> None:
    shape = (1, size.heads, size.tokens, size.head_dim)
    torch.manual_seed(0)
    given = [torch.randn(shape, device=device, dtype=torch.bfloat16).requires_grad_() for _ in range(3)]
    query, key, value = (tensor[:, :2].detach().float() for tensor in given)
    rows = min(256, size.tokens)
    scores = query[:, :, :rows] @ key.transpose(2, 3) / size.head_dim**0.5
    exact = scores.softmax(-1) @ value

    def both() -> None:
        F.scaled_dot_product_attention(*given).sum().backward()

    def measured(name: str) -> Found:
        with attention_of(name):
            forward = often(lambda: F.scaled_dot_product_attention(*given), device, size.times)
            made = F.scaled_dot_product_attention(*given)
            error = (made[:, :2, :rows].detach().float() - exact).norm() / exact.norm()
            found: Found = {"forward": forward, "error": float(error)}
            if made.requires_grad:
                found["both"] = often(both, device, size.times)
        return found

    for name in attention_names(device):
        notes.measure("attention", name, partial(measured, name))


# products


def products(notes: Notes, size: Size, device: torch.device) -> None:
    def measured(inner: int, outer: int) -> Found:
        torch.manual_seed(0)
        rows = torch.randn(size.tokens, inner, device=device, dtype=torch.bfloat16)
        weight = torch.randn(outer, inner, device=device, dtype=torch.bfloat16)
        exact = rows[:64].float() @ weight.float().t()
        found: Found = {"bf16": often(lambda: F.linear(rows, weight), device, size.times)}
        for name, cast_to in (("rowwise", cast_rows), ("tensorwise", cast_whole)):
            frozen, scale = cast_to(weight)

            def work(cast_to: Any = cast_to, frozen: Tensor = frozen, scale: Tensor = scale) -> Tensor:
                return product(*cast_to(rows), frozen, scale, torch.bfloat16)  # casting included

            # A kernel of its own, as a compiled step has it: by itself, casting is several passes over the rows.
            run = torch.compile(work) if device.type == "cuda" else work
            found[name] = often(run, device, size.times)
            found[f"{name} error"] = float((run()[:64].float() - exact).norm() / exact.norm())
        return found

    for inner, outer in size.products:
        notes.measure("products", f"{size.tokens} x {inner} x {outer}", partial(measured, inner, outer))


# training


def keep_products(_context: Any, operation: Any, *_args: Any, **_kwargs: Any) -> Any:
    """A policy of checkpointing that keeps every product, the feed-forward's hidden layer among them."""
    kept = operation in activation._PRODUCTS or operation in activation._ATTENTION
    policy = activation.CheckpointPolicy
    return policy.MUST_SAVE if kept else policy.PREFER_RECOMPUTE


def classes(work: Callable[[], Any], device: torch.device) -> Found:
    """Seconds of one piece of work by the kind of kernel, and of the gaps between kernels."""
    from torch.profiler import ProfilerActivity, profile

    seconds = timed(work, device)
    with profile(activities=[ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU]) as seen:
        timed(work, device)
    spent = dict.fromkeys(("attention", "products", "copies", "rest"), 0.0)
    for event in seen.key_averages():
        taken = event.self_device_time_total if device.type == "cuda" else event.self_cpu_time_total
        spent[kernel_class(event.key)] += taken / 1e6
    return {**spent, "gaps": max(0.0, seconds - sum(spent.values()))}


def kernel_class(name: str) -> str:
    """By the kernel's name."""
    name = name.lower()
    for kind, signs in (
        ("attention", ("flash", "fmha", "sdpa", "attention", "cudnn_generated")),
        ("products", ("gemm", "cutlass", "nvjet", "cublas", "_mm", "matmul", "xmma")),
        ("copies", ("memcpy", "memset", "nccl", "copy_", "split_with_sizes", "all_gather", "reduce_scatter")),
    ):
        if any(sign in name for sign in signs):
            return kind
    return "rest"


def training(notes: Notes, size: Size, device: torch.device) -> None:
    world = join(device.type)
    layers = [f"model.backbone.num_layers={size.layers}", "parallel.activation=projections", *size.set]
    settings = settings_of(size.recipe, layers)
    winner = best_attention(notes.found)
    for case, attends, kept, fp8 in (
        ("base", "torch", False, False),
        ("attention", winner, False, False),
        ("kept", winner, True, False),
        ("fp8", winner, True, True),
    ):
        profiled = case in ("base", "fp8")

        def work(attends: str = attends, kept: bool = kept, fp8: bool = fp8, profiled: bool = profiled) -> Found:
            with attention_of(attends), ExitStack() as stack:
                if kept:
                    stack.enter_context(patch.object(activation, "_keep_projections", keep_products))
                return trained(settings, world, size.times, fp8, profiled)

        notes.measure("training", case, work)
    world.leave()


def trained(settings: TrainSettings, world: World, times: int, fp8: bool, profiled: bool) -> Found:
    """The trainer's own step."""
    changed = patch("benchmarks.training_step.components.make_transformer", in_fp8) if fp8 else ExitStack()
    with tempfile.TemporaryDirectory() as folder, emptied(world.device), changed:
        trainer = make_trainer(settings, world, Path(folder), flops_of(settings))
        trainer.model.train()
        batch = samples(settings, world.device)
        found: Found = {"seconds": often(lambda: trainer.train_on(batch), world.device, times)}
        if world.device.type == "cuda":
            found["GiB"] = torch.cuda.max_memory_allocated(world.device) / 2**30
        if profiled:
            found["classes"] = classes(lambda: trainer.train_on(batch), world.device)
        trainer.journal.close()
    return found


def in_fp8(*given: Any, **options: Any) -> nn.Module:
    """The transformer that the recipe makes, its feed-forwards, which are frozen, in fp8."""
    model = make_transformer(*given, **options)
    for block in model.transformer_blocks:
        feed_forward = cast(Any, block).ff.net
        feed_forward[0].proj, feed_forward[2] = FrozenLinear(feed_forward[0].proj), FrozenLinear(feed_forward[2])
    return model


# sampling


def sampling(notes: Notes, size: Size, device: torch.device) -> None:
    settings = settings_of(size.recipe, list(size.set))
    pipeline = make(settings.model, device)
    synchronize = (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else (lambda: None)
    blocks = pipeline.transformer.transformer_blocks
    call = caller(pipeline, Case("base", "guidance's branches one by one"))

    def step(attends: str, **options: Any) -> Found:
        with attention_of(attends):
            return {"seconds": statistics.median(step_seconds(partial(call, **options), 4, synchronize))}

    def gated() -> Found:
        one = step(winner, guidance_scale=1.0)["seconds"]
        both = notes.found["sampling"]["attention"]["seconds"]
        return {"one branch": one, "seconds": GATE * one + (1 - GATE) * both}

    def cached() -> Found:
        pipeline.transformer.transformer_blocks = blocks[:1]
        try:
            first = step(winner)["seconds"]
        finally:
            pipeline.transformer.transformer_blocks = blocks
        return {"first block alone": first, "seconds": (first + notes.found["sampling"]["attention"]["seconds"]) / 2}

    winner = best_attention(notes.found)
    notes.measure("sampling", "base", lambda: step("torch"))
    notes.measure("sampling", "attention", lambda: step(winner))
    notes.measure("sampling", "unconditional branch in 60 % of the steps", gated)
    notes.measure("sampling", "first-block cache every second step", cached)


PARTS: dict[str, Callable[[Notes, Size, torch.device], None]] = {
    "attention": attention,
    "products": products,
    "training": training,
    "sampling": sampling,
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (all)")
    parser.add_argument("--size", choices=tuple(SIZES), default="full")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--out", type=Path, default=RESULT, metavar="FILE", help="(default: %(default)s)")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.parts if name not in PARTS]:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    device = torch.device(given.device)
    if device.type == "cpu":
        torch.set_num_threads(1)  # it is about whether all of it runs
    notes = Notes(given.out)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    notes.put("machine", given.size, {"device": where, "torch": torch.__version__})
    for name, part in PARTS.items():
        if not given.parts or name in given.parts:
            part(notes, SIZES[given.size], device)
    print(json.dumps(notes.found["decisions"], indent=1))


if __name__ == "__main__":
    main()
