"""What a checkpoint file really is: looked at before any reader opens it.

`torch.load` chooses its reader by the file's content. A TorchScript archive goes to `torch.jit.load`, whatever was
asked for, and that runs the program in the archive; an archive of the first versions of torch is unpacked as a tar.
"""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import Any

from demix.weights.registry import WeightsBroken

_ZIP = b"PK\x03\x04"
"""How a file begins that torch takes for a zip archive."""
_TOUCHES_FILES = ("from_file", "save")
"""The operators of TorchScript that take a file's name."""
_WORD = re.compile(r"\w+")
_NAMESPACE = re.compile(r"\bops\s*\.\s*(\w+)")
_OWN = ("aten", "prim")
"""Namespaces of operators that are torch's own arithmetic; others may belong to any library that is loaded."""


def check_tensors(path: Path) -> None:
    """Raises `WeightsBroken` unless `path` is a pickled checkpoint as `torch.save` writes it.

    What the pickle asks for is its reader's concern; that it is one is decided here. A missing file raises `OSError`.
    """
    if not _is_zip(path):
        if tarfile.is_tarfile(path):
            raise WeightsBroken(f"{path}: a tar archive, not a checkpoint that torch.save wrote; fetch it again")
        return
    names = _names(path)
    if _is_program(names):
        raise WeightsBroken(
            f"{path}: a TorchScript archive, which is a program and not only weights; it is not opened. "
            "Get the released checkpoint, or have somebody who trusts this file save its state_dict"
        )
    if "data.pkl" not in names:
        raise WeightsBroken(f"{path}: a zip archive, but not a checkpoint that torch.save wrote; fetch it again")


def check_torchscript(path: Path) -> None:
    """Raises `WeightsBroken` unless `path` is a TorchScript archive that computes and does nothing else.

    For files that are meant to be TorchScript. Its language knows no Python, but two operators of torch that open files
    by name, and operators of libraries.
    """
    names = _names(path) if _is_zip(path) else []
    if not _is_program(names):
        raise WeightsBroken(f"{path}: not a TorchScript archive; fetch it again")
    reader = _reader(path)
    for name in names:
        if name.startswith("code/") and name.endswith(".py"):
            text = reader.get_record(name).decode("utf-8", "replace")
            asked = [word for word in _TOUCHES_FILES if word in _WORD.findall(text)]
            asked += [f"ops.{space}" for space in _NAMESPACE.findall(text) if space not in _OWN]
            asked += [word for word in ("getattr", "classes") if word in _WORD.findall(text)]
            if asked:
                raise WeightsBroken(
                    f"{path}: its program uses {asked[0]}, which could reach files or other libraries; it is not run. "
                    "Get the file from its publisher"
                )


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_ZIP)) == _ZIP


def _is_program(names: list[str]) -> bool:
    return "constants.pkl" in names or any(name.startswith("code/") for name in names)


def _names(path: Path) -> list[str]:
    return list(_reader(path).get_all_records())


def _reader(path: Path) -> Any:
    """Torch's own reader of archives: another one could see other members in the same bytes."""
    import torch

    try:
        return torch._C.PyTorchFileReader(str(path))
    except RuntimeError as error:
        raise WeightsBroken(f"{path}: a damaged archive ({str(error).splitlines()[0]}); fetch it again") from error
