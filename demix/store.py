"""A store: files below one folder or address, by keys. The dataset is one, and the work store, where media and ledgers
live between stages.

Every write is aside, synced, then renamed (on an object store: uploaded whole), so that a key either does not exist or
is complete, whatever dies when.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from demix.errors import MachineTrouble
from demix.machine import GO_ON, check_writable, expecting_trouble, trouble_in
from demix.node_copies import NodeCopies
from demix.redact import redacted
from demix.remote import Remote
from demix.scratch import temporary_folder

Place: TypeAlias = "Store | str | os.PathLike[str]"
"""A store, or what names one: a folder, or an address that fsspec opens."""


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
        self._files = Remote(self.root)
        self._copies = NodeCopies(self.root)

    @classmethod
    def at(cls, place: Place) -> Store:
        """The store at a place; a store itself is handed back."""
        return place if isinstance(place, Store) else cls(place)

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return type(self), (self.root,)  # another node sees the same folder under another number

    def __repr__(self) -> str:
        return f"Store({self.shown!r})"

    def __str__(self) -> str:
        return self.shown

    @property
    def shown(self) -> str:
        """The root as it may be written down: without credentials."""
        return redacted(self.root) if self.remote else self.root

    @property
    def name(self) -> str:
        """The last part of the root."""
        return PurePosixPath(self.shown.partition("://")[2] if self.remote else os.path.realpath(self.root)).name

    @property
    def folder(self) -> Path | None:
        """The root as a folder of this machine; None for a remote store."""
        return None if self.remote else Path(self.root)

    def address(self, key: str) -> str:
        """Where a key lies, as it may be written down."""
        self._address(key)
        return f"{self.shown}/{key}"

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
        with temporary_folder() as folder:
            path = Path(folder) / PurePosixPath(key).name
            try:
                yield path
            except Exception:
                check_writable(Path(folder))
                raise
            self._files.put(path, self._checked(key))
            self._copies.forget(key)  # versions that nobody asks for any more

    def local(self, key: str) -> Path:
        """A local path to read `key` from; a remote key is fetched once per node and version, and its copy stays for a
        while (`demix.node_copies`). Raises FileNotFoundError."""
        if not self.remote:
            path = Path(self._address(key))
            if not self.exists(key):
                raise FileNotFoundError(f"{path}: not in the work store")
            return path
        version, size = self._files.state(self._checked(key))
        return self._copies.find(key, version, size, lambda aside: self._files.get(key, aside, size))

    @contextmanager
    def brought(self, keys: Iterable[str]) -> Iterator[Path]:
        """Yields a folder in which these keys lie below their own names, those that exist: the root itself where it is
        a folder, else a temporary one with what the store says now, whatever this node has copies of."""
        if not self.remote:
            yield Path(self.root)
            return
        with temporary_folder() as folder:
            for key in keys:
                path = Path(folder) / self._checked(key)
                path.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):
                    _, size = self._files.state(key)
                    self._files.get(key, path, size)
            yield Path(folder)

    def read(self, key: str, start: int | None = None, end: int | None = None) -> bytes:
        """The bytes of a key, or [start, end) of them. Raises FileNotFoundError."""
        if self.remote:
            return self._files.read(self._checked(key), start, end)
        with expecting_trouble(self.root, "read"), open(self._address(key), "rb") as file:
            file.seek(start or 0)
            return file.read(-1 if end is None else end - (start or 0))

    def exists(self, key: str) -> bool:
        if self.remote:
            return self._files.exists(self._checked(key))
        try:
            with expecting_trouble(self.root, "read"):
                os.stat(self._address(key))
        except FileNotFoundError:
            self._check_root()
            return False
        return True

    def size(self, key: str) -> int | None:
        """Bytes of a file; None where there is none."""
        if self.remote:
            return self._files.size(self._checked(key))
        path = Path(self._address(key))
        with expecting_trouble(self.root, "read"):
            return path.stat().st_size if path.is_file() else None

    def keys(self, prefix: str = "") -> list[str]:
        """All keys below a folder, sorted; unfinished writes are not keys."""
        return [key for key in self.files(prefix) if not PurePosixPath(key).name.startswith(".")]

    def files(self, prefix: str = "") -> list[str]:
        """The same, with what else lies there: unfinished writes and hidden files."""
        if self.remote:
            return self._files.keys(self._checked(prefix))
        address = self._address(prefix) if prefix else self.root
        with expecting_trouble(self.root, "read"):
            found = [path for path in Path(address).rglob("*") if path.is_file()]
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def remove(self, key: str) -> None:
        """Removes a key or a whole folder of keys; absent ones are no error."""
        if self.remote:
            self._files.remove(self._checked(key))
            self._files.remove_below(key)
            self._copies.forget(key)
            return
        path = Path(self._address(key))
        with expecting_trouble(self.root, "written"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def remove_file(self, key: str, *, durable: bool = False) -> None:
        """Removes one key, `durable` so that a power cut does not undo it; an absent one is no error."""
        if self.remote:
            self._files.remove(self._checked(key))
            self._copies.forget(key)
            return
        path = Path(self._address(key))
        with expecting_trouble(self.root, "written"), suppress(FileNotFoundError):
            path.unlink()
            if durable:
                sync_directory(path.parent)

    def remove_empty_folders(self, prefix: str) -> None:
        """Removes what `remove_file` has emptied; a store without folders has none."""
        folders = () if self.remote else (path for path in Path(self._address(prefix)).rglob("*") if path.is_dir())
        for folder in sorted(folders, reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()

    def sweep(self) -> None:
        """Removes what killed writers left; to be called while nobody writes. An upload that was cut leaves no key."""
        if not self.remote:
            sweep(Path(self.root))

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

    def _address(self, key: str) -> str:
        return f"{self.root}/{self._checked(key)}"

    @staticmethod
    def _checked(key: str) -> str:
        if PurePosixPath(key).is_absolute() or ".." in PurePosixPath(key).parts:
            raise ValueError(f"{key!r}: a key must stay below the store")
        return key
