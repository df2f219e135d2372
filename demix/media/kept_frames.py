"""The latest decoded clips of this process, so that stages which follow one another decode a clip once."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from demix.lazy_module import lazy_module

av: Any = lazy_module("av")


BUDGET = 512 << 20
"""Bytes of decoded pictures held: seven clips of 5 s, or two of 20 s, at 480p."""


class KeptFrames:
    """Decoded frames by file, the least recently read forgotten first. A file that alone exceeds the budget is not
    held; its frames are only passed on."""

    def __init__(self, budget: int = BUDGET):
        self.budget = budget
        self.decoded = 0
        """Times that a file was decoded."""
        self._kept: OrderedDict[tuple[str, int, int, int], list[av.VideoFrame]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()  # a stage that hung and was given up may still be reading

    def frames(self, path: str) -> Iterator[av.VideoFrame]:
        """All frames of the first video stream, in display order. A file that was rewritten is another file.

        Raises `av.FFmpegError`, `OSError`, and `LookupError` where there is no video stream.
        """
        facts = os.stat(path)
        key = (path, facts.st_ino, facts.st_mtime_ns, facts.st_size)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
            else:
                self.decoded += 1
        yield from self._decode(path, key) if kept is None else kept

    def _decode(self, path: str, key: tuple[str, int, int, int]) -> Iterator[av.VideoFrame]:
        held: list[av.VideoFrame] | None = []
        size = 0
        # Opened by us, so that a name like "concat:..." or "http://..." can never reach ffmpeg's protocol layer.
        with open(path, "rb") as file, av.open(file) as container:
            if not container.streams.video:
                raise LookupError("no video stream")
            for frame in container.decode(container.streams.video[0]):
                size += sum(plane.buffer_size for plane in frame.planes)
                if held is not None:
                    held.append(frame)
                    if size > self.budget:
                        held = None
                yield frame
        if held is not None:
            self._keep(key, held, size)

    def _keep(self, key: tuple[str, int, int, int], frames: list[av.VideoFrame], size: int) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = frames
            self._bytes += size
            while self._bytes > self.budget:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= sum(plane.buffer_size for frame in gone for plane in frame.planes)
