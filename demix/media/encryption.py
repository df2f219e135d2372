"""Whether a film needs a key, as far as its container says so; runs inside the sandbox's child.

Decoders do not know: they find no pictures, or broken ones, and say something else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import BinaryIO

_PROTECTED = {b"drmi": "FairPlay", b"drms": "FairPlay", b"encv": "Common Encryption", b"enca": "Common Encryption"}
"""Names of sample entries of mp4 that stand for others."""
_MOST_HEADER = 256 << 20
"""Bytes of an mp4's header; those of a day of film are less."""
_SAMPLES, _SAMPLE = 8, 512 << 10
"""Places of a stream that are looked at, and bytes of each."""
_STRIDES = (188, 192, 204)
"""Bytes from one packet of a transport stream to the next."""
_SCRAMBLED_TS, _SCRAMBLED_PS = 0.5, 0.05
"""Share of scrambled packets from which a stream is called so. Of a disc's sectors only some are."""
_PACK = re.compile(rb"\x00\x00\x01\xba[\x40-\x7f].{8}.\x00\x00\x01([\xbd\xc0-\xef])..([\x80-\xbf])", re.DOTALL)
"""A pack of a disc, and the head of the packet in it, with its two bits of scrambling."""


def encryption(path: str, format: str) -> str:
    """What a film of that libav format is encrypted with, as far as it says; "" where it does not."""
    with open(path, "rb") as file:
        if format.startswith("mov"):
            header = _header(file)
            entries = (header[place + 16 : place + 20] for place in _places(header, b"stsd"))
            return next((_PROTECTED[name] for name in entries if name in _PROTECTED), "")
        if format == "mpegts":
            return "conditional access" if _share(map(_scrambled_packets, _samples(file))) > _SCRAMBLED_TS else ""
        if format == "mpeg":
            return "CSS" if _share(map(_scrambled_packs, _samples(file))) > _SCRAMBLED_PS else ""
    return ""


def _header(file: BinaryIO) -> bytes:
    """What lies in an mp4's `moov`."""
    while len(head := file.read(8)) == 8:
        size, inside = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, inside = int.from_bytes(file.read(8), "big"), 16
        if head[4:] == b"moov":
            return file.read(min(size - inside, _MOST_HEADER) if size else _MOST_HEADER)
        if size < inside:
            break
        file.seek(size - inside, os.SEEK_CUR)
    return b""


def _places(data: bytes, name: bytes) -> Iterator[int]:
    place = data.find(name)
    while place >= 0:
        yield place
        place = data.find(name, place + 1)


def _samples(file: BinaryIO) -> Iterator[bytes]:
    size = file.seek(0, os.SEEK_END)
    for number in range(_SAMPLES):
        file.seek(max(size - _SAMPLE, 0) * number // (_SAMPLES - 1))
        yield file.read(_SAMPLE)


def _share(counts: Iterator[tuple[int, int]]) -> float:
    """Of (scrambled, all) packets."""
    some = list(counts)
    return sum(scrambled for scrambled, _ in some) / max(sum(count for _, count in some), 1)


def _scrambled_packets(data: bytes) -> tuple[int, int]:
    """(scrambled, all) packets of a transport stream that are no tables and have a payload."""
    for stride in _STRIDES:
        for first in range(min(stride, len(data))):
            if data[first : first + 5 * stride : stride] == b"\x47" * 5:
                packets = [data[at + 1 : at + 4] for at in range(first, len(data) - 4, stride) if data[at] == 0x47]
                own = [head for head in packets if 0x1F < ((head[0] & 31) << 8 | head[1]) < 0x1FFF and head[2] & 0x10]
                return sum(head[2] >= 0x40 for head in own), len(own)
    return 0, 0


def _scrambled_packs(data: bytes) -> tuple[int, int]:
    """(scrambled, all) packets of sound and pictures of a programme stream."""
    heads = [match[2][0] for match in _PACK.finditer(data)]
    return sum(head & 0x30 > 0 for head in heads), len(heads)
