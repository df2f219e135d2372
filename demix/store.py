"""The work store: where media and ledgers live between stages. One folder that every node reaches, local or fsspec.

Every write is aside, synced, then renamed (on an object store: uploaded whole), so that a key either does not exist or
is complete, whatever dies when.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

import fsspec

from demix.errors import MachineTrouble
from demix.machine import GO_ON, check_writable, expecting_trouble, trouble_in


def is_local(uri: str) -> bool:
    """Whether a path or URI names this machine's file system (NFS mounts included)."""
    return "://" not in uri or uri.startswith("file://")


def sync_directory(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to; on success it is synced and renamed, on an exception removed.

    Raises `MachineTrouble` where the place cannot be written, also if the writer's own exception hides that.
    """
    with expecting_trouble(path.parent, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: ffmpeg and soundfile choose the format by it.
    aside = path.with_name(f".{uuid.uuid4().hex}.tmp{path.suffix}")
    try:
        yield aside
        with expecting_trouble(path.parent, "written"):
            with open(aside, "rb+") as written:
                os.fsync(written.fileno())
            os.replace(aside, path)
            sync_directory(path.parent)
    except Exception as error:
        trouble = trouble_in(error, path.parent)
        if trouble is not None:
            raise trouble from error
        # Many libraries lose the error number; what was written so far still lies there, so a full disk is full.
        check_writable(path.parent)
        raise
    finally:
        with suppress(OSError):  # what cannot be removed now, `sweep` removes later
            aside.unlink(missing_ok=True)


_ASIDE = re.compile(r"\.[0-9a-f]{32}\.tmp(\..+)?")


def sweep(folder: Path) -> None:
    """Removes what killed writers left of `atomic` in a folder and below; to be called while nobody writes there."""
    for place, _, names in os.walk(folder):
        for name in filter(_ASIDE.fullmatch, names):
            Path(place, name).unlink(missing_ok=True)


class Store:
    """Files below one root, addressed by relative keys such as `media/ab/abcd/0123/mix.flac`."""

    def __init__(self, root: str | os.PathLike[str]):
        root = os.fspath(root)
        self.remote = not is_local(root)
        self.root = root.rstrip("/") if self.remote else str(Path(root.removeprefix("file://")).absolute())
        self._seen: tuple[int, int] | None = None

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return type(self), (self.root,)  # another node sees the same folder under another number

    def __repr__(self) -> str:
        return f"Store({self.root!r})"

    @contextmanager
    def write(self, key: str) -> Iterator[Path]:
        """Yields a local path to write `key` to; the key appears whole when the block ends, or not at all.

        This and all else raises `MachineTrouble` where the store cannot be reached or written.
        """
        if not self.remote:
            address = Path(self._address(key))
            self._check_root()
            try:
                with atomic(address) as path:
                    yield path
            except MachineTrouble:
                self._check_root()  # says more than that a folder in it is gone
                raise
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / PurePosixPath(key).name
            try:
                yield path
            except Exception:
                check_writable(Path(folder))
                raise
            with self._reaching("written"):
                self._filesystem.put_file(str(path), self._address(key))
            shutil.rmtree(self._cache / key, ignore_errors=True)  # versions that nobody asks for any more

    def local(self, key: str) -> Path:
        """A local path to read `key` from; a remote key is fetched once per machine and version. Raises
        FileNotFoundError."""
        if not self.remote:
            path = Path(self._address(key))
            if not self.exists(key):
                raise FileNotFoundError(f"{path}: not in the work store")
            return path
        address = self._address(key)
        with self._reaching("read"):
            state = str(self._filesystem.ukey(address))
        version = hashlib.blake2b(state.encode(), digest_size=8).hexdigest()
        cached = self._cache / key / version / PurePosixPath(key).name
        if not cached.exists():
            with atomic(cached) as aside, self._reaching("read"):
                self._filesystem.get_file(address, str(aside))
        return cached

    def exists(self, key: str) -> bool:
        if self.remote:
            with self._reaching("read"):
                return bool(self._filesystem.exists(self._address(key)))
        try:
            with expecting_trouble(self.root, "read"):
                os.stat(self._address(key))
        except FileNotFoundError:
            self._check_root()
            return False
        return True

    def keys(self, prefix: str = "") -> list[str]:
        """All keys below a folder, sorted; unfinished writes are not keys."""
        address = self._address(prefix) if prefix else self.root
        if self.remote:
            with self._reaching("read"):
                found = [str(name) for name in self._filesystem.find(address)]
            start = len(self._filesystem._strip_protocol(self.root)) + 1
            return sorted(name[start:] for name in found)
        with expecting_trouble(self.root, "read"):
            files = [path for path in Path(address).rglob("*") if path.is_file()]
        return sorted(path.relative_to(self.root).as_posix() for path in files if not path.name.startswith("."))

    def remove(self, key: str) -> None:
        """Removes a key or a whole folder of keys; absent ones are no error."""
        if self.remote:
            with suppress(FileNotFoundError), self._reaching("written"):
                self._filesystem.rm(self._address(key), recursive=True)
            shutil.rmtree(self._cache / key, ignore_errors=True)
            return
        path = Path(self._address(key))
        with expecting_trouble(self.root, "written"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raises `MachineTrouble` unless the store is there and takes a little more. Of a remote one nothing is asked:
        its own errors speak for it."""
        if not self.remote:
            self._check_root()
            check_writable(Path(self.root))

    def _check_root(self) -> None:
        """Raises `MachineTrouble` if the root is not the folder any more that this object saw first: a mount that went
        leaves another, empty one behind, in which everything would begin anew."""
        try:
            with expecting_trouble(self.root, "read"):
                state = os.stat(self.root)
        except FileNotFoundError:
            if self._seen is None:
                return  # nothing was written yet
            state = None
        found = (state.st_dev, state.st_ino) if state else None
        if self._seen is not None and found != self._seen:
            raise MachineTrouble(f"{self.root}: the work store is gone; bring it back (is it mounted?), {GO_ON}")
        self._seen = found

    @contextmanager
    def _reaching(self, doing: str) -> Iterator[None]:
        """Around what is asked of a remote file system: no item can be blamed for its errors."""
        try:
            yield
        except (FileNotFoundError, MachineTrouble):
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise MachineTrouble(f"{self.root}: cannot be {doing} ({why}); put that right, {GO_ON}") from error

    def _address(self, key: str) -> str:
        parts = PurePosixPath(key).parts
        if PurePosixPath(key).is_absolute() or ".." in parts:
            raise ValueError(f"{key!r}: a key must stay below the store")
        return f"{self.root}/{key}"

    @property
    def _filesystem(self) -> fsspec.AbstractFileSystem:
        # Other processes write too: a listing that was kept would be an old one.
        return fsspec.core.url_to_fs(self.root, use_listings_cache=False)[0]

    @property
    def _cache(self) -> Path:
        name = hashlib.blake2b(self.root.encode(), digest_size=8).hexdigest()
        return Path(tempfile.gettempdir()) / f"demix-cache-{os.getuid()}" / name
