"""Writes TensorFlow checkpoints as the format's description says: the counterpart of our reader."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

_TYPES = {np.dtype("<f4"): 1, np.dtype("<f8"): 2, np.dtype("<i4"): 3, np.dtype("<i8"): 9}


def write_bundle(folder: Path, arrays: Mapping[str, np.ndarray], per_block: int = 5, restart: int = 4) -> None:
    """`model.index` and `model.data-00000-of-00001`, keys sorted, `per_block` entries a block."""
    content = b""
    entries = [(b"", b"\x08\x01\x1a\x02\x08\x01")]  # one data file; version 1
    for name in sorted(arrays):
        raw = np.ascontiguousarray(arrays[name]).tobytes()
        entries.append((name.encode(), _entry(arrays[name], len(content), len(raw))))
        content += raw
    (folder / "model.data-00000-of-00001").write_bytes(content)
    (folder / "model.index").write_bytes(_table(entries, per_block, restart))


def _entry(array: np.ndarray, offset: int, size: int) -> bytes:
    dims = b"".join(_message(2, b"\x08" + _varint(n)) for n in array.shape)
    numbers = b"\x08" + _varint(_TYPES[array.dtype]) + _message(2, dims)
    if offset:  # zero is the default, and left out
        numbers += b"\x20" + _varint(offset)
    return numbers + b"\x28" + _varint(size) + b"\x35" + struct.pack("<I", 0xDEADBEEF)


def _table(entries: list[tuple[bytes, bytes]], per_block: int, restart: int) -> bytes:
    content = b""
    index = []
    for start in range(0, len(entries), per_block):
        block = _block(entries[start : start + per_block], restart)
        index.append(
            (entries[min(start + per_block, len(entries)) - 1][0], _varint(len(content)) + _varint(len(block)))
        )
        content += block + b"\x00" + b"\x00" * 4
    meta = _block([], restart)
    footer = _varint(len(content)) + _varint(len(meta))
    content += meta + b"\x00" * 5
    block = _block(index, 1)
    footer += _varint(len(content)) + _varint(len(block))
    content += block + b"\x00" * 5
    return content + footer.ljust(40, b"\x00") + struct.pack("<Q", 0xDB4775248B80FB57)


def _block(entries: list[tuple[bytes, bytes]], restart: int) -> bytes:
    content, restarts, before = b"", [], b""
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number % restart == 0:
            restarts.append(len(content))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        content += _varint(shared) + _varint(len(key) - shared) + _varint(len(value)) + key[shared:] + value
        before = key
    restarts = restarts or [0]
    return content + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    groups = []
    while True:
        groups.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(groups)
