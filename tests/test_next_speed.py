"""The benchmark that decides the next steps for speed runs at a tiny size, part by part, and keeps what it saw."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import next_speed
from benchmarks.fp8 import FrozenLinear
from tests.mtv_train.train.ranks import in_ranks


def ran(out: Path, *parts: str) -> dict[str, dict[str, dict[str, float]]]:
    in_ranks(1, next_speed.main, [*parts, "--size", "tiny", "--device", "cpu", "--out", str(out)])
    found: dict[str, dict[str, dict[str, float]]] = json.loads(out.read_text(encoding="utf-8"))
    return found


def test_every_part_runs_and_later_parts_keep_what_was_found(tmp_path: Path) -> None:
    first = ran(tmp_path / "found.json", "attention", "products")
    assert set(first["attention"]) == {"torch", "flash"}
    assert all(0 < case["error"] < 0.02 and case["both"] > 0 for case in first["attention"].values())
    assert len(first["products"]) == 3
    assert all(
        case[f"{kind} error"] < 0.08 for case in first["products"].values() for kind in ("rowwise", "tensorwise")
    )
    found = ran(tmp_path / "found.json", "training", "sampling")
    assert found["attention"] == first["attention"]
    assert set(found["training"]) == {"base", "attention", "kept", "fp8"}
    assert set(found["training"]["fp8"]["classes"]) == {"attention", "products", "copies", "rest", "gaps"}  # type: ignore[arg-type]
    assert len(found["sampling"]) == 4
    assert all(case["seconds"] > 0 for part in ("training", "sampling") for case in found[part].values())
    assert set(found["decisions"]) >= {"attention", "fp8 feed-forward", "work on gaps"}


def test_the_rules_decide() -> None:
    attention = {"torch": {"both": 1.08}, "FA3": {"both": 1.0}, "sage2": {"forward": 0.5}, "FA4": {"cannot": "no"}}
    products = {
        "1": {"bf16": 1.0, "rowwise": 2.0},
        "2": {"bf16": 1.4, "rowwise": 1.0},
        "3": {"bf16": 1.3, "rowwise": 1.0},
    }
    steps = {
        name: {"seconds": seconds} for name, seconds in (("base", 3), ("attention", 2.9), ("kept", 2.8), ("fp8", 2.7))
    }
    found = {"attention": attention, "products": products, "training": steps}
    assert next_speed.decisions(found) == {
        "attention": "FA3",
        "fp8 feed-forward": False,
        "keep the feed-forward's hidden layer": True,
    }
    products["3"]["bf16"] = 1.35
    steps["base"]["classes"] = {"gaps": 0.06}  # type: ignore[assignment]
    assert next_speed.decisions(found)["fp8 feed-forward"]
    assert next_speed.decisions(found)["work on gaps"] is False
    attention["torch"]["both"] = 1.07
    assert next_speed.best_attention(found) == "torch"


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_frozen_layer_in_fp8_is_nearly_the_layer(kind: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 128).to(kind)
    given = torch.randn(2, 16, 64, dtype=kind, requires_grad=True)
    again = given.detach().clone().requires_grad_()
    expected, found = layer(given), FrozenLinear(layer)(again)
    expected.sum().backward()
    found.sum().backward()
    assert found.dtype == kind
    assert (found - expected).norm() < 0.06 * expected.norm()
    assert given.grad is not None
    assert again.grad is not None
    assert (again.grad - given.grad).norm() < 0.06 * given.grad.norm()
