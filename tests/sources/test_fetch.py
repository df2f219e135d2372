"""Local copies: the file itself, or one download per machine that is whole or not there."""

from __future__ import annotations

import hashlib
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from demix.errors import MachineSuspected, MachineTrouble
from demix.sources.fetch import SourceChanged, local_copy, probed_copy
from demix.sources.uri import local_uri
from demix.store import Store


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DEMIX_STORE_SECONDS", "0")
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
    (tmp_path / "beside.mp4").touch()
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


@pytest.mark.parametrize("folder", ["empty", "absent"])
def test_a_file_that_is_gone_with_its_folder_is_no_deleted_one(tmp_path: Path, folder: str) -> None:
    """As a mount leaves its place behind. Of a file that was not there when it was named nothing else is known."""
    (tmp_path / "empty").mkdir()
    uri = str(tmp_path / folder / "film.mp4")
    with pytest.raises(MachineTrouble, match="is it mounted"), local_copy(uri):
        pass
    with pytest.raises(FileNotFoundError), local_copy(uri, was_there=False):
        pass


def test_what_a_library_says_of_a_file_that_went_away_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "films/film.mp4"
    path.parent.mkdir()
    path.write_bytes(b"film")

    def read() -> None:
        with local_copy(str(path)):
            path.unlink()
            raise ValueError("not a film")

    with pytest.raises(MachineTrouble, match="is it mounted"):
        read()


def test_a_replaced_source_is_noticed_whatever_its_size_and_time(tmp_path: Path) -> None:
    path, store = tmp_path / "film.mp4", Store(str(tmp_path / "work"))
    path.write_bytes(b"first")
    sha256, status = hashlib.sha256(b"first").hexdigest(), path.stat()

    def read() -> bytes:
        with probed_copy(str(path), sha256, store) as copy:
            return copy.read_bytes()

    assert read() == read() == b"first"
    path.write_bytes(b"other")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(SourceChanged, match="replaced since it was probed"):
        read()
    path.write_bytes(b"first")
    assert read() == b"first"
    with pytest.raises(SourceChanged, match="while it was being read"), probed_copy(str(path), sha256, store):
        path.write_bytes(b"other")


def test_a_replaced_remote_source_is_noticed(remote: MemoryFileSystem, tmp_path: Path) -> None:
    store, sha256 = Store(str(tmp_path / "work")), hashlib.sha256(b"first").hexdigest()
    for _ in range(2):
        with probed_copy("memory://fetch/film.mp4", sha256, store) as copy:
            assert copy.read_bytes() == b"first"
    remote.pipe_file("/fetch/film.mp4", b"other")
    with pytest.raises(SourceChanged), probed_copy("memory://fetch/film.mp4", sha256, store):
        pass


def test_a_download_that_fails_leaves_nothing(
    remote: MemoryFileSystem, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: MemoryFileSystem, address: str, target: str, **options: object) -> None:
        Path(target).write_bytes(b"fir")
        raise ConnectionError("the line went dead")

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "get_file", broken)
        with pytest.raises(MachineSuspected, match="the line went dead"), local_copy("memory://fetch/film.mp4"):
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


def test_an_object_that_is_replaced_on_a_web_server_is_fetched_again(tmp_path: Path) -> None:
    """Of the same size: its time and tag are what tells."""
    (tmp_path / "films").mkdir()
    film = tmp_path / "films" / "film.mp4"
    handler = partial(SimpleHTTPRequestHandler, directory=str(film.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}/film.mp4"
        for number, content in enumerate((b"first", b"other")):
            film.write_bytes(content)
            os.utime(film, (1000 + 60 * number,) * 2)
            with local_copy(uri) as path:
                assert path.read_bytes() == content
        server.shutdown()
