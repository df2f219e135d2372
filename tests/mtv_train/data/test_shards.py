"""Guards: bytes on a disk and in a store are announced and read alike, and a wrong announcement decides nothing."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import fsspec
import pytest

from mtv_train.data import shards as module
from mtv_train.data.errors import SampleError
from mtv_train.data.shards import Shards
from mtv_train.data.table import ClipRow, Member

DATA = bytes(range(200))


def clip(shard: int = 0, size: int = 50) -> ClipRow:
    members = {"txt": Member(10, size, hashlib.sha256(DATA[10 : 10 + size]).digest())}
    return ClipRow("clip", shard, "train", ("all",), Fraction(1), members)


@pytest.fixture(params=["disk", "disk by threads", "store"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "disk by threads":
        monkeypatch.setattr(module, "_ADVICE", None)
    if request.param == "store":
        fsspec.filesystem("memory").pipe_file("/shards/0.tar", DATA)
        return "memory://shards/0.tar"
    (tmp_path / "0.tar").write_bytes(DATA)
    return str(tmp_path / "0.tar")


@pytest.mark.parametrize("limit", [0, 1 << 10])
def test_announced_bytes_are_read(address: str, limit: int) -> None:
    shards = Shards([address], read_ahead_bytes=limit)
    shards.expect([clip(), clip()], ["txt"])
    assert shards.read(clip(), ["txt"]) == {"txt": DATA[10:60]}
    assert shards.ahead.bytes <= limit
    shards.close()


def test_what_cannot_be_read_is_an_error_only_when_it_is_needed(address: str) -> None:
    shards = Shards([address, f"{address}.absent"])
    shards.expect([clip(1), clip()], ["txt", "mp4"])
    with pytest.raises(SampleError, match=r"sample clip: read: .*absent"):
        shards.read(clip(1), ["txt"])
    with pytest.raises(SampleError, match=r"read: .* ends within txt: 190 of 300 bytes"):
        shards.read(clip(0, 300), ["txt"])
    shards.close()
