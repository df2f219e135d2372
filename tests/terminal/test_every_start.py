"""Sweep: whatever starts a process goes through `demix.processes`, so that no child can have the terminal again."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for name in ("demix", "mtv_train", "pipelines") for path in (ROOT / name).rglob("*.py"))

STARTS = {
    "subprocess": {"Popen", "run", "call", "check_call", "check_output", "getoutput", "getstatusoutput"},
    "os": {"system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp", "startfile"},
    "asyncio": {"create_subprocess_exec", "create_subprocess_shell"},
    "pty": {"spawn", "fork"},
    "ray": {"init"},
}
POOLS = {"ProcessPoolExecutor", "DataLoader", "Pool", "Process", "spawn_processes", "start_processes"}
"""Names of classes and functions that start workers, of multiprocessing, torch and concurrent.futures."""
MEANS = {"demix/processes.py": {"subprocess.Popen"}, "demix/engine/ray_start.py": {"ray.init"}}
"""Where the starting is done for everybody else."""


def starts(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What of `STARTS` and `POOLS` a module calls or imports by name, and where. Classes of ours may be called so."""
    ours = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
            if str(node.module).startswith(("demix.", "mtv_train."))}  # fmt: skip
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) if name in STARTS.get(module, ()):
                yield f"{module}.{name}", node.lineno
            case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr=name)) if name.startswith(("exec", "spawn")):
                yield f"os.{name}", node.lineno
            case ast.ImportFrom(module=str(module), names=names):
                yield from ((f"{module}.{alias.name}", node.lineno) for alias in names
                            if alias.name in STARTS.get(module, ()))  # fmt: skip
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in POOLS - ours:
                if not ast.unparse(node.func).startswith("psutil."):
                    yield name, node.lineno
            case _:
                pass


def test_only_these_modules_start_processes() -> None:
    """Add a module to the second set only if it starts its workers within `starting_workers` and they begin with
    `leave_terminal`."""
    found = {(path.relative_to(ROOT).as_posix(), what) for path in FILES for what, _ in starts(_tree(path))}
    means = {(path, what) for path, names in MEANS.items() for what in names}
    workers = {("mtv_train/data/loader.py", "DataLoader"), ("mtv_train/sample/jobs.py", "ProcessPoolExecutor")}
    assert found == means | workers


@pytest.mark.parametrize("path", ["mtv_train/data/loader.py", "mtv_train/sample/jobs.py"])
def test_workers_are_started_without_the_terminal_and_leave_it(path: str) -> None:
    names = {node.func.id for node in ast.walk(_tree(ROOT / path)) if isinstance(node, ast.Call)
             and isinstance(node.func, ast.Name)}  # fmt: skip
    assert {"starting_workers", "leave_terminal"} <= names


def test_rays_workers_import_nothing_of_ours_before_they_leave_the_terminal() -> None:
    """Unpickling imports the modules of stages and models, and those what they like."""
    tree = _tree(ROOT / "demix/engine/stage_actor.py")
    top = {alias.name if isinstance(node, ast.Import) else f"{node.module}.{alias.name}"
           for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}  # fmt: skip
    assert {name for name in top if name.startswith(("demix", "mtv_train"))} == {"demix.processes"}
    entries = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in ("__init__", "call")
    ]
    assert len(entries) == 2
    for entry in entries:
        first = next(
            node for node in entry.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        )
        assert ast.unparse(first) == "processes.leave_terminal()"


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
