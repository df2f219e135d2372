"""Local copies: the file itself, or one download per machine that is whole or not there."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from demix.sources.fetch import local_copy
from demix.sources.uri import local_uri


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMIX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def remote(tmp_path: Path) -> MemoryFileSystem:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe_file("/fetch/film.mp4", b"first")
    return filesystem


def test_a_local_file_is_not_copied(tmp_path: Path, cache: Path) -> None:
    film = tmp_path / "-a b%20.mp4"
    film.write_bytes(b"film")
    for uri in (local_uri(film), f"file://{tmp_path}/-a%20b%2520.mp4"):
        with local_copy(uri) as path:
            assert path == film
    assert not cache.exists()


def test_a_missing_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="every node must reach"), local_copy(str(tmp_path / "gone.mp4")):
        pass
    with pytest.raises(FileNotFoundError), local_copy("memory://fetch/gone.mp4"):
        pass


def test_a_remote_file_is_downloaded_once(remote: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    real = MemoryFileSystem.get_file

    def counted(self: MemoryFileSystem, address: str, target: str, **options: object) -> None:
        loads.append(address)
        real(self, address, target, **options)

    monkeypatch.setattr(MemoryFileSystem, "get_file", counted)
    for _ in range(3):
        with local_copy("memory://fetch/film.mp4") as path:
            assert path.read_bytes() == b"first"
    assert len(loads) == 1


def test_a_remote_file_that_changed_is_downloaded_anew(remote: MemoryFileSystem) -> None:
    with local_copy("memory://fetch/film.mp4") as path:
        assert path.read_bytes() == b"first"
    remote.pipe_file("/fetch/film.mp4", b"second one")
    with local_copy("memory://fetch/film.mp4") as path:
        assert path.read_bytes() == b"second one"


def test_a_download_that_fails_leaves_nothing(
    remote: MemoryFileSystem, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: MemoryFileSystem, address: str, target: str, **options: object) -> None:
        Path(target).write_bytes(b"fir")
        raise ConnectionError("the line went dead")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "get_file", broken)
        with pytest.raises(ConnectionError), local_copy("memory://fetch/film.mp4"):
            pass
    assert [path.suffix for path in cache.iterdir()] == [".lock"]
    with local_copy("memory://fetch/film.mp4") as path:
        assert path.read_bytes() == b"first"


def test_the_oldest_copy_that_nobody_reads_makes_room(
    remote: MemoryFileSystem, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from demix.sources import fetch

    for name in ("old", "used"):
        remote.pipe_file(f"/fetch/{name}", name.encode())
    with local_copy("memory://fetch/old"), local_copy("memory://fetch/used"):
        pass
    full = type("Usage", (), {"free": 0, "total": 100})()
    with local_copy("memory://fetch/used") as used:
        monkeypatch.setattr(fetch.shutil, "disk_usage", lambda folder: full)
        with local_copy("memory://fetch/film.mp4") as path:
            assert path.read_bytes() == b"first"
        kept = {copy.read_bytes() for copy in cache.iterdir() if copy.suffix != ".lock"}
        assert used.read_bytes() == b"used"
    assert kept == {b"used", b"first"}
