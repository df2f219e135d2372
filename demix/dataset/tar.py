"""Tar files whose bytes depend on the members' names and contents only: USTAR, fixed headers, order as written.

Headers come from the standard library's `tarfile`; members are appended here because `tarfile` neither reports where a
member's data begin nor hashes what it copies.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

BLOCK = tarfile.BLOCKSIZE
RECORD = tarfile.RECORDSIZE
CHUNK = 1 << 20


class TarError(ValueError):
    """A tar that this module did not write: the message says what differs and where."""


@dataclass(frozen=True)
class Member:
    """One file in a tar: `offset` and `size` of its data in bytes, `sha256` of the data in hex."""

    name: str
    offset: int
    size: int
    sha256: str


def header(name: str, size: int) -> bytes:
    """The 512-byte header of a regular file: mode 0644, no owner, time 0."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")


def occupied(size: int) -> int:
    """Bytes that a member of `size` bytes takes in a tar, header and padding included."""
    return BLOCK + size + padding(size)


def total(members: int) -> int:
    """Size of a tar whose members occupy `members` bytes: two empty blocks, then filled up to a whole record."""
    return -(-(members + 2 * BLOCK) // RECORD) * RECORD


def padding(size: int) -> int:
    return -size % BLOCK


class TarWriter:
    """Appends members to an open file, hashing each and the whole on the way."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._hash = hashlib.sha256()
        self.bytes = 0

    def add(self, name: str, size: int, data: BinaryIO) -> Member:
        """Copies `data` into the tar. Raises TarError unless it holds exactly `size` bytes."""
        self._put(header(name, size))
        offset, digest = self.bytes, hashlib.sha256()
        while chunk := data.read(CHUNK):
            digest.update(chunk)
            self._put(chunk)
        if self.bytes - offset != size:
            raise TarError(f"{name}: {size} bytes were announced, {self.bytes - offset} came")
        self._put(bytes(padding(size)))
        return Member(name, offset, size, digest.hexdigest())

    def close(self) -> str:
        """Ends the tar, brings it to the disk and returns its sha256; the file itself stays open."""
        self._put(bytes(total(self.bytes) - self.bytes))
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._hash.hexdigest()

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.bytes += len(data)


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO):
        self._file, self._hash, self._bytes = file, hashlib.sha256(), 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        self._bytes += len(data)
        return data

    def rest(self) -> tuple[int, str]:
        """Size and sha256 of the whole file."""
        while self.read(CHUNK):
            pass
        return self._bytes, self._hash.hexdigest()


def scan(file: Readable) -> Iterator[Member]:
    """The members of a tar, read from its start and hashed. Raises TarError at the first byte that a `TarWriter`
    would not have written: another header, padding that is not zero, a missing or wrong end."""
    position = 0
    while (block := file.read(BLOCK)) != bytes(BLOCK):
        name, size = _parse(block, position)
        digest, left = hashlib.sha256(), size
        while left:
            chunk = file.read(min(CHUNK, left))
            if not chunk:
                raise TarError(f"ends within {name}: {left} bytes are missing")
            digest.update(chunk)
            left -= len(chunk)
        if file.read(padding(size)) != bytes(padding(size)):
            raise TarError(f"the padding after {name} is missing or not zero")
        yield Member(name, position + BLOCK, size, digest.hexdigest())
        position += occupied(size)
    end = file.read()
    if end.strip(b"\0") or len(end) != total(position) - position - BLOCK:
        raise TarError(f"the end of the archive at byte {position} is not as written: {len(end) + BLOCK} bytes")


def _parse(block: bytes, position: int) -> tuple[str, int]:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        ours = info.size >= 0 and block == header(info.name, info.size)
    except (tarfile.HeaderError, ValueError) as error:
        raise TarError(f"no tar header at byte {position}: {error}") from error
    if not ours:
        raise TarError(f"the header of {info.name!r} at byte {position} is not as written (mode, owner, time or type)")
    return info.name, info.size


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def forget_cache(path: Path) -> None:
    """Asks the kernel to drop the file's pages, so that reading it back reads the disk. A hint where it is known."""
    if hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
