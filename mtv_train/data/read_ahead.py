"""A bounded cache of byte spans, filled ahead by threads. The order is a pure function, so what comes next is known."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import NamedTuple


class Span(NamedTuple):
    """Bytes [start, end) of a shard, named by its number."""

    shard: int
    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


class ReadAhead:
    """Spans read through `read`, kept least recently used last, `limit` bytes of them at most, those on their way
    included. A limit of 0 keeps nothing."""

    def __init__(self, read: Callable[[Span], bytes], limit: int, threads: int = 4):
        self._read = read
        self.limit = limit
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._kept: OrderedDict[Span, Future[bytes]] = OrderedDict()
        self._lock = Lock()
        self.bytes = 0
        """Bytes held or on their way; never above the limit."""

    def get(self, span: Span) -> bytes:
        """The bytes of a span: kept, on their way, or read now. Raises what `read` raises."""
        with self._lock:
            future = self._kept.get(span)
            if future is not None:
                self._kept.move_to_end(span)
        if future is not None:
            try:
                return future.result()
            except Exception:
                # A failure ahead of time decides nothing: it is read again, now.
                self._forget(span, future)
        data = self._read(span)
        self._keep(span, data)
        return data

    def fetch(self, spans: Iterable[Span]) -> None:
        """Begins to read what is going to be needed; spans that do not fit beside one another are left for later."""
        fits = self.limit
        for span in spans:
            fits -= span.size
            if fits < 0:
                return
            with self._lock:
                if span in self._kept:
                    self._kept.move_to_end(span)
                    continue
                self._make_room(span.size)
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="read-ahead")
                self._kept[span] = self._pool.submit(self._read, span)
                self.bytes += span.size

    def close(self) -> None:
        """Stops reading ahead and forgets everything."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool = None
        self._kept.clear()
        self.bytes = 0

    def _keep(self, span: Span, data: bytes) -> None:
        if span.size > self.limit:
            return
        future: Future[bytes] = Future()
        future.set_result(data)
        with self._lock:
            if span not in self._kept:
                self._make_room(span.size)
                self._kept[span] = future
                self.bytes += span.size

    def _forget(self, span: Span, future: Future[bytes]) -> None:
        with self._lock:
            if self._kept.get(span) is future:
                del self._kept[span]
                self.bytes -= span.size

    def _make_room(self, size: int) -> None:
        while self._kept and self.bytes + size > self.limit:
            span, future = self._kept.popitem(last=False)
            future.cancel()
            self.bytes -= span.size
