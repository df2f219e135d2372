"""Tar bytes: what the standard library writes with fixed headers, and nothing else is accepted back."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.dataset.tar import Member, TarError, TarWriter, header, occupied, scan, total

names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=60)
contents = st.dictionaries(names, st.one_of(st.binary(max_size=1600), st.just(bytes(5000)), st.just(b"x" * 512)))


def write(members: Mapping[str, bytes]) -> tuple[bytes, list[Member], str]:
    with tempfile.TemporaryFile() as file:
        writer = TarWriter(file)
        written = [writer.add(name, len(data), io.BytesIO(data)) for name, data in members.items()]
        digest = writer.close()
        file.seek(0)
        return file.read(), written, digest


@given(contents)
def test_bytes_are_those_of_the_standard_library(members: Mapping[str, bytes]) -> None:
    """An independent writer with the same headers gives the same archive, so any tar reader understands it."""
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))
    data, written, digest = write(members)
    assert data == expected.getvalue()
    assert digest == hashlib.sha256(data).hexdigest()
    assert len(data) == total(sum(occupied(member.size) for member in written))


@given(contents)
def test_the_standard_library_reads_every_member_at_its_offset(members: Mapping[str, bytes]) -> None:
    data, written, _ = write(members)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        read = {info.name: (info.offset_data, archive.extractfile(info).read()) for info in archive}  # type: ignore
    assert read == {member.name: (member.offset, members[member.name]) for member in written}
    assert [data[member.offset :][: member.size] for member in written] == list(members.values())


@given(contents)
def test_scan_returns_what_was_written(members: Mapping[str, bytes]) -> None:
    data, written, _ = write(members)
    assert list(scan(io.BytesIO(data))) == written


def test_header_bytes_are_pinned() -> None:
    """A change of the headers (by us or by Python) would change every shard's bytes."""
    digest = hashlib.sha256(header("0123456789abcdef.speech.flac", 123456)).hexdigest()
    assert digest == "e1c5160904f188e20d0c55e9117e7b28608bba64f3c8555cc09cae107dfe8879"


@given(st.dictionaries(names, st.binary(max_size=700), min_size=1), st.data())
def test_every_changed_byte_is_seen(members: Mapping[str, bytes], draw: st.DataObject) -> None:
    """Flipping a bit anywhere, also in padding and in the end of the archive, is an error or another hash."""
    data, written, _ = write(members)
    at = draw.draw(st.integers(0, len(data) - 1))
    broken = bytearray(data)
    broken[at] ^= 1 << draw.draw(st.integers(0, 7))
    try:
        found = list(scan(io.BytesIO(bytes(broken))))
    except TarError:
        return
    assert found != written


@given(contents, st.data())
def test_a_truncated_archive_is_an_error(members: Mapping[str, bytes], draw: st.DataObject) -> None:
    data, _, _ = write(members)
    with pytest.raises(TarError):
        list(scan(io.BytesIO(data[: draw.draw(st.integers(0, len(data) - 1))])))


def test_foreign_headers_are_an_error(tmp_path: Path) -> None:
    """An archive by another tool, with an owner and a time, is not one of ours."""
    (tmp_path / "a.txt").write_text("hello")
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(tmp_path / "a.txt", "a.txt")
    with open(tmp_path / "x.tar", "rb") as file, pytest.raises(TarError, match=r"a\.txt.*not as written"):
        list(scan(file))


@pytest.mark.parametrize("size", [3, 5])
def test_a_member_of_another_length_than_announced_is_an_error(size: int) -> None:
    with tempfile.TemporaryFile() as file, pytest.raises(TarError, match="4 came"):
        TarWriter(file).add("a", size, io.BytesIO(b"abcd"))
