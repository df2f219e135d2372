"""Members of samples, read by offset from tars on a local disk, NFS, or any object store through fsspec."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache

from demix.redact import redacted
from demix.remote import StoreTrouble, filesystem, patiently, read_range
from demix.store import is_local
from mtv_train.data.errors import SampleError, StoreFailed
from mtv_train.data.read_ahead import ReadAhead, Span
from mtv_train.data.table import ClipRow, Member

_ADVICE = getattr(os, "POSIX_FADV_WILLNEED", None)
"""What tells the system to read ahead; None where it cannot be told, as on macOS: threads do it there."""

_GAP = 1 << 18
"""Members closer than this are read in one go: a request costs more than these bytes."""


class Shards:
    """The shards behind an index. Opens nothing until asked, so it may be made before a process forks."""

    def __init__(
        self,
        addresses: Sequence[str],
        storage_options: Mapping[str, str] | None = None,
        *,
        read_ahead_bytes: int = 64 << 20,
        check_hashes: bool = True,
    ):
        self.addresses = tuple(addresses)
        self._options = dict(storage_options or {})
        self._check = check_hashes
        self.ahead = ReadAhead(self._read, read_ahead_bytes)
        # Each sample announces the next few, so that a span is announced several times in a row.
        self._advise = lru_cache(64)(self._advise_now)

    def __reduce__(self) -> tuple[object, ...]:
        return _remade, (self.addresses, self._options, self.ahead.limit, self._check)

    def read(self, clip: ClipRow, fields: Collection[str]) -> dict[str, bytes]:
        """The bytes of some of a clip's members. Raises SampleError: `read`, or `hash` where they are not the
        index's; `StoreFailed` where an object store does not answer, for which no sample is to blame."""
        data: dict[str, bytes] = {}
        for span, members in _spans(clip, fields):
            try:
                whole = self._read(span) if self._is_file(span) else self.ahead.get(span)
            except StoreTrouble as error:
                raise StoreFailed(str(error)) from error
            except Exception as error:
                where = self.addresses[clip.shard]
                raise SampleError(clip.key, "read", f"{where}: {type(error).__name__}: {error}") from error
            for name, member in members.items():
                data[name] = whole[member.offset - span.start : member.offset - span.start + member.size]
                self._checked(clip, name, member, data[name])
        return data

    def expect(self, clips: Iterable[ClipRow], fields: Collection[str]) -> None:
        """Says which clips are going to be read next, so that their bytes are fetched meanwhile. Never raises."""
        spans = [span for clip in clips for span, _ in _spans(clip, set(fields) & set(clip.members))]
        for span in spans:
            if self._is_file(span):
                self._advise(span)
        self.ahead.fetch(span for span in spans if not self._is_file(span))

    def close(self) -> None:
        self.ahead.close()

    def _checked(self, clip: ClipRow, name: str, member: Member, data: bytes) -> None:
        if len(data) != member.size:
            where = self.addresses[clip.shard]
            raise SampleError(clip.key, "read", f"{where} ends within {name}: {len(data)} of {member.size} bytes")
        if self._check and hashlib.sha256(data).digest() != member.sha256:
            where = self.addresses[clip.shard]
            raise SampleError(clip.key, "hash", f"{name} in {where} is not what the index knows; run demix verify")

    def _is_file(self, span: Span) -> bool:
        """Whether the system reads ahead for us: its page cache is shared by all processes, and asking it costs less
        than waking a thread."""
        return _ADVICE is not None and is_local(self.addresses[span.shard])

    def _read(self, span: Span) -> bytes:
        address = self.addresses[span.shard]
        if not is_local(address):
            return patiently(redacted(address), "read", lambda: self._read_remote(address, span))
        file = _open(address)
        try:
            return os.pread(file, span.size, span.start)
        finally:
            os.close(file)

    def _read_remote(self, address: str, span: Span) -> bytes:
        files, path = filesystem(address, self._options)
        return read_range(files, path, span.start, span.end)

    def _advise_now(self, span: Span) -> None:
        """Has the system begin to read a span of a local or mounted file."""
        if _ADVICE is None:
            return
        with suppress(OSError):  # whatever is wrong shows, with its name, when the bytes are needed
            file = _open(self.addresses[span.shard])
            try:
                os.posix_fadvise(file, span.start, span.size, _ADVICE)
            finally:
                os.close(file)


def _open(address: str) -> int:
    return os.open(address.removeprefix("file://"), os.O_RDONLY | os.O_CLOEXEC)


def _remade(addresses: Sequence[str], options: Mapping[str, str], limit: int, check: bool) -> Shards:
    return Shards(addresses, options, read_ahead_bytes=limit, check_hashes=check)


def _spans(clip: ClipRow, fields: Collection[str]) -> Iterator[tuple[Span, dict[str, Member]]]:
    """Members in their order in the shard, near ones together."""
    absent = [name for name in fields if name not in clip.members]
    if absent:
        raise SampleError(clip.key, "read", f"has no member {', '.join(absent)}")
    together: dict[str, Member] = {}
    start = end = 0
    for name in sorted(fields, key=lambda name: clip.members[name].offset):
        member = clip.members[name]
        if together and member.offset - end > _GAP:
            yield Span(clip.shard, start, end), together
            together = {}
        if not together:
            start = member.offset
        together[name] = member
        end = member.offset + member.size
    if together:
        yield Span(clip.shard, start, end), together
