"""Guard: what is optional is passed by name to every file system. Drivers put arguments of their own before those of
fsspec (`cat_file(path, version_id, start, end)` of s3fs), so a call by position works with one and not with another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from demix.remote import Remote, filesystem, opened, read_range

ROOT = Path(__file__).parents[2]
REQUIRED = {
    "cat_file": 1, "rm_file": 1, "ukey": 1, "get_file": 2, "put_file": 2, "pipe_file": 2, "unstrip_protocol": 1,
    "info": 1, "size": 1, "exists": 1, "find": 1, "glob": 1, "ls": 1, "rm": 1, "mv": 2, "makedirs": 1, "open": 2,
    "invalidate_cache": 0, "cp_file": 2, "isdir": 1, "isfile": 1, "cat": 1, "created": 1, "modified": 1, "mkdir": 1,
}  # fmt: skip
"""Method -> arguments that every driver takes in this order."""
OURS = ("cat_file", "rm_file", "ukey", "get_file", "put_file", "pipe_file", "unstrip_protocol")
"""Names that no other object has."""


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """(place, call, method) of every call of a file system in the packages."""
    for path in sorted([*ROOT.glob("demix/**/*.py"), *ROOT.glob("mtv_train/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                method, receiver = node.func.attr, ast.unparse(node.func.value)
                known = receiver in ("files", "filesystem", "fs") or "url_to_fs" in receiver
                if method in OURS or (known and method in REQUIRED):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node, method


def test_optional_arguments_go_by_name() -> None:
    found = list(calls())
    assert len(found) > 10, "the search finds nothing"
    for place, call, method in found:
        assert len(call.args) <= REQUIRED[method], f"{place}: pass what is optional to {method} by name"
        assert not any(isinstance(argument, ast.Starred) for argument in call.args), place


def test_file_systems_are_opened_in_one_place() -> None:
    for path in sorted([*ROOT.glob("demix/**/*.py"), *ROOT.glob("mtv_train/**/*.py")]):
        if path.name != "remote.py":
            text = path.read_text(encoding="utf-8")
            assert "url_to_fs" not in text, f"{path}: use demix.remote.filesystem"
            assert "fsspec.open" not in text, f"{path}: use demix.remote.opened"


def test_a_driver_with_arguments_of_its_own_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As s3fs: a version may stand behind the path."""
    plain = MemoryFileSystem.cat_file

    def cat_file(
        self: MemoryFileSystem, path: str, version_id: str | None = None, start: int = 0, end: int = 0
    ) -> bytes:
        assert version_id is None
        return bytes(plain(self, path, start=start, end=end))

    monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
    Remote("memory://calls").overwrite("a", b"0123456789")
    files, path = filesystem("memory://calls/a")
    assert read_range(files, path, 2, 5) == b"234"
    with opened(files, path) as file:
        file.seek(-3, 2)
        assert file.read() == b"789"
    assert Remote("memory://calls").read("a", 8, 20) == b"89"
