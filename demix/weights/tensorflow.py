"""Reading a TensorFlow checkpoint (a "tensor bundle") without TensorFlow.

`NAME.index` is a sorted string table: blocks of prefix-compressed keys, found through an index block, found through a
footer. The values are small protocol buffers that say where in `NAME.data-00000-of-00001` each array lies.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demix.weights.registry import WeightsBroken

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 2: np.dtype("<f8"), 3: np.dtype("<i4"), 9: np.dtype("<i8")}
"""The numbers that TensorFlow gives to types, as far as checkpoints of networks hold them."""


@dataclass(frozen=True)
class Variable:
    """Where one array lies in the data file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    size: int
    """Bytes."""


def read_bundle(index: Path, data: Path) -> dict[str, np.ndarray]:
    """Every variable by name, as read-only arrays over one read of the data file. Raises `WeightsBroken`."""
    variables = read_index(index)
    content = data.read_bytes()
    arrays = {}
    for name, variable in variables.items():
        end = variable.offset + variable.size
        if end > len(content):
            raise WeightsBroken(f"{data}: ends at {len(content)} bytes, {name} at {end}; fetch it again")
        flat = np.frombuffer(content, variable.dtype, math.prod(variable.shape), variable.offset)
        arrays[name] = flat.reshape(variable.shape)
    return arrays


def read_index(path: Path) -> dict[str, Variable]:
    """Every variable of a checkpoint with one data file. Raises `WeightsBroken`, naming the file."""
    content = path.read_bytes()
    try:
        entries = dict(_table(content))
        header = dict(_fields(entries.pop(b"")))
        if header.get(1, 1) != 1 or header.get(2, 0) != 0:
            raise ValueError("more than one data file, or big-endian numbers")
        return {key.decode(): _variable(value) for key, value in entries.items()}
    except (ValueError, KeyError, IndexError, struct.error, UnicodeDecodeError, TypeError) as error:
        raise WeightsBroken(f"{path}: not the index of a TensorFlow checkpoint ({error}); fetch it again") from error


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values of a sorted string table, in order."""
    footer = content[-_FOOTER:]
    if len(footer) < _FOOTER or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("the magic number is missing")
    _, _, place = _handle(footer, 0)
    offset, size, _ = _handle(footer, place)
    for _, value in _block(content, offset, size):
        begin, length, _ = _handle(value, 0)
        yield from _block(content, begin, length)


def _handle(data: bytes, place: int) -> tuple[int, int, int]:
    """(offset, size) of a block, and where reading goes on."""
    offset, place = _varint(data, place)
    size, place = _varint(data, place)
    return offset, size, place


def _block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    block = content[offset : offset + size]
    if len(block) < size or content[offset + size] != 0:
        raise ValueError("a block is cut off or compressed")
    restarts = struct.unpack("<I", block[-4:])[0]
    end = size - 4 - 4 * restarts
    if end < 0:
        raise ValueError("a block is damaged")
    key, place = b"", 0
    while place < end:
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        key = key[:shared] + block[place : place + own]
        place += own
        yield key, block[place : place + length]
        place += length


def _variable(message: bytes) -> Variable:
    """A `BundleEntryProto`: 1 type, 2 shape, 3 data file, 4 offset, 5 size, 6 checksum, 7 slices."""
    fields = dict(_fields(message))
    kind = _number(fields[1])
    if fields.get(3, 0) != 0 or 7 in fields or kind not in _TYPES:
        raise ValueError(f"a variable of type {kind}, in slices, or in another data file")
    dims = [dict(_fields(_bytes(dim))).get(1, 0) for number, dim in _fields(_bytes(fields.get(2, b""))) if number == 2]
    shape = tuple(int(_number(dim)) for dim in dims)
    variable = Variable(_TYPES[kind], shape, _number(fields.get(4, 0)), _number(fields[5]))
    if variable.size != math.prod(shape) * variable.dtype.itemsize:
        raise ValueError("a variable's size is not that of its shape")
    return variable


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of a protocol buffer's fields: integers as such, everything else as bytes."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, kind = tag >> 3, tag & 7
        value: int | bytes
        if kind == 0:
            value, place = _varint(message, place)
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            value, place = message[place : place + width], place + width
        elif kind == 2:
            length, place = _varint(message, place)
            value, place = message[place : place + length], place + length
        else:
            raise ValueError(f"a field of wire type {kind}")
        yield number, value


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where reading goes on."""
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")  # noqa: TRY004  (the file is wrong, not the code)
    return value


def _number(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ValueError("a message where a number should be")  # noqa: TRY004
    return value
