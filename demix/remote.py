"""Files of other machines, through fsspec: asked again with patience where the store is in trouble, then said so.

Stores throttle, fail for a minute and cut answers short, so every question is asked through `patiently`. Paths and
contents are passed by position, as drivers name them differently; everything optional is passed by name, as drivers put
arguments of their own before those of fsspec.
"""

from __future__ import annotations

import errno
import io
import json
import os
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import fsspec

from demix.config import ConfigError
from demix.errors import DemixError, MachineTrouble
from demix.machine import GO_ON, trouble_in
from demix.redact import redacted, whole

T = TypeVar("T")

PATIENCE = "DEMIX_STORE_SECONDS"
"""Environment variable: for how many seconds a store in trouble is asked again."""
_SECONDS = 120.0
_LONGEST_PAUSE = 20.0
_FEW = 4
"""Attempts where the answer will hardly change: a request that the store calls wrong, a package that is missing."""
_HERE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Error numbers that speak of this machine, on which a file is put or taken from."""
_BUFFER = 4 << 20
"""Bytes of a remote file that are read at least: a request costs more than these."""
_TELL_AFTER = 10.0
"""Seconds after which a person is told what is waited for."""

_WHOLE = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "tos", "r2", "memory")
"""Protocols by which an upload appears whole or not at all; elsewhere it is made under another name and renamed."""

_SAYS_VERSION = ("etag", "last-modified", "lastmodified", "content-md5", "digest", "mtime", "modified", "updated",
                 "generation", "version_id", "versionid", "size", "crc", "date_time")  # fmt: skip
"""What file systems say of a file that changes with its content."""


class StoreTrouble(MachineTrouble):
    """A store did not do what was asked, however often; no item is to blame."""


class CutShort(OSError):
    """A store answered with fewer bytes than there are."""


def patience() -> float:
    """Seconds for which a store in trouble is asked again."""
    return float(os.environ.get(PATIENCE) or _SECONDS)


def patiently(where: str, doing: str, ask: Callable[[], T]) -> T:
    """`ask()`, again and again while it fails as stores do at times: after random pauses that grow, until `patience`
    is used up. `where` and `doing` ("read", "written") are for the message.

    Raises `StoreTrouble`; `FileNotFoundError` and `FileExistsError` are answers, and are raised at once.
    """
    began, attempt, told = time.monotonic(), 0, False
    while True:
        attempt += 1
        try:
            return ask()
        except (FileNotFoundError, FileExistsError, DemixError):
            raise
        except Exception as error:
            spent, hope = time.monotonic() - began, _hope(error)
            if hope == "none" or (hope == "little" and attempt >= _FEW) or spent >= patience():
                raise _trouble(where, doing, error, spent, hope) from error
            if spent > _TELL_AFTER and not told:
                told = True
                print(f"{where}: {_said(error)}; trying again for {patience() - spent:.0f} s", file=sys.stderr)
            pause = random.uniform(0, min(_LONGEST_PAUSE, 0.2 * 2**attempt))
        time.sleep(min(pause, max(0.0, patience() - spent)))


def _hope(error: Exception) -> str:
    """Whether asking again may help: "none", "little" or "some"."""
    if _is_about_credentials(error) or isinstance(
        error, (PermissionError, ImportError, TypeError, NotImplementedError)
    ):
        return "none"
    if isinstance(error, OSError) and error.errno in _HERE:
        return "none"
    status = _status(error)
    refused = status is not None and status < 500 and status not in (408, 425, 429)
    return "little" if refused or isinstance(error, ValueError) else "some"


def _is_about_credentials(error: BaseException) -> bool:
    names = [type(cause).__name__ for cause in _causes(error)]
    return any("Credential" in name or "Auth" in name or name == "ProfileNotFound" for name in names)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _status(error: Exception) -> int | None:
    """The HTTP status behind an error, as far as drivers tell it."""
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        found = getattr(cause, "status", None) or getattr(cause, "code", None) or getattr(response, "status_code", None)
        if isinstance(response, Mapping):
            found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if isinstance(found, int):
            return found
    return None


def _trouble(where: str, doing: str, error: Exception, spent: float, hope: str) -> MachineTrouble:
    """What a person is told."""
    said = _said(error)
    if isinstance(error, OSError) and error.errno in _HERE:
        return trouble_in(error) or StoreTrouble(f"{where}: {said}")
    if _is_about_credentials(error):
        remedy = f"set those of the store where this program runs, on every node (docs/object_stores.md), {GO_ON}"
        return StoreTrouble(f"{where}: cannot be {doing} without credentials ({said}); {remedy}")
    if isinstance(error, PermissionError):
        return StoreTrouble(f"{where}: cannot be {doing}, access is denied ({said}); have it allowed, {GO_ON}")
    tried = f", although asked again for {spent:.0f} s" if hope == "some" else ""
    return StoreTrouble(f"{where}: cannot be {doing} ({said}){tried}; look at the store and the network, {GO_ON}")


def _said(error: Exception) -> str:
    """The error in a line that holds no credentials and is not a whole answer of a server."""
    line = " ".join(redacted(str(error)).split())
    return f"{type(error).__name__}: {line[:300]}".removesuffix(": ")


def filesystem(address: str, options: Mapping[str, Any] | None = None) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system behind an address, and the path in it. Raises `ConfigError` where nothing can open it."""
    shown = redacted(address)
    try:
        found: tuple[fsspec.AbstractFileSystem, str] = fsspec.core.url_to_fs(
            whole(address), **{**_options(address), **(options or {})}
        )
    except ImportError as error:
        extra = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}.get(shown.partition("://")[0])
        remedy = f"pip install 'demix-dataset[{extra}]'" if extra else "install the package that it names"
        raise ConfigError(f"{shown}: {_said(error)}; {remedy}") from error
    except ValueError as error:
        raise ConfigError(f"{shown}: no address that can be opened ({_said(error)})") from error
    return found


def _options(address: str) -> dict[str, Any]:
    """What drivers are told by us, beside what the user's own configuration of fsspec tells them."""
    # Other processes write too: a listing that was kept would be an old one.
    told: dict[str, Any] = {"use_listings_cache": False}
    protocol = address.partition("://")[0]
    if protocol in ("s3", "s3a"):
        # Retries within retries last minutes before anybody hears of the first failure.
        users = fsspec.config.conf.get(protocol, {}).get("config_kwargs", {})
        told["config_kwargs"] = {"retries": {"mode": "standard", "total_max_attempts": 1}, **users}
    return told


def state_of(files: fsspec.AbstractFileSystem, path: str) -> tuple[str, int]:
    """(version, bytes) of a file. The version changes when the file is replaced, as far as its file system can tell:
    `ukey` of some file systems is made of the address alone, or of a listing that was kept. Raises
    `FileNotFoundError`. To be called through `patiently`."""
    files.invalidate_cache()
    info = files.info(path)
    said = {str(key).lower(): str(value) for key, value in info.items() if value is not None}
    told = sorted((key, said[key]) for key in _SAYS_VERSION if key in said)
    enough = any(key != "size" for key, _ in told)
    return json.dumps(told if enough else [str(files.ukey(path)), *told]), int(info.get("size") or 0)


def download(files: fsspec.AbstractFileSystem, path: str, target: Path, size: int | None = None) -> None:
    """Brings a whole file; raises `CutShort` where less came than its size, if that is known. To be called through
    `patiently`."""
    files.get_file(path, str(target))
    came = target.stat().st_size
    if size is not None and came != size:
        raise CutShort(f"{came} of {size} bytes came")


def read_range(files: fsspec.AbstractFileSystem, path: str, start: int, end: int) -> bytes:
    """Bytes [start, end) of a file, fewer where it ends before; raises `CutShort` where less came. To be called
    through `patiently`."""
    if end <= start:
        return b""
    try:
        data = bytes(files.cat_file(path, start=start, end=end))
    except OSError:
        if int(files.size(path) or 0) > start:
            raise
        return b""  # some stores refuse a range behind the end
    if len(data) < end - start and len(data) < min(end, int(files.size(path) or 0)) - start:
        raise CutShort(f"{len(data)} of {end - start} bytes came")
    return data


class _Ranges(io.RawIOBase):
    """A remote file, of which every part is asked for by itself and with patience."""

    def __init__(self, files: fsspec.AbstractFileSystem, path: str, shown: str):
        self._files, self._path, self._shown, self._at = files, path, shown, 0
        self._size = patiently(shown, "read", lambda: state_of(files, path)[1])

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        start, end = self._at, min(self._at + len(buffer), self._size)
        data = patiently(self._shown, "read", lambda: read_range(self._files, self._path, start, end))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def opened(files: fsspec.AbstractFileSystem, path: str) -> BinaryIO:
    """A file to read from, wherever. Raises `FileNotFoundError`, and `StoreTrouble` also from its own methods."""
    protocols = (files.protocol,) if isinstance(files.protocol, str) else files.protocol
    if "file" in protocols:
        file: BinaryIO = files.open(path, "rb")
        return file
    return io.BufferedReader(_Ranges(files, path, redacted(files.unstrip_protocol(path))), _BUFFER)


class Remote:
    """The files below one address, by keys. All methods raise `StoreTrouble`."""

    def __init__(self, root: str):
        self.root = root.rstrip("/")
        self.shown = redacted(self.root)

    def state(self, key: str) -> tuple[str, int]:
        """(version, bytes) of a file; the version changes when it is replaced. Raises FileNotFoundError."""
        return self._ask("read", state_of, key)

    def exists(self, key: str) -> bool:
        return self.size(key) is not None

    def size(self, key: str) -> int | None:
        """Bytes of a file; None where there is none."""
        try:
            found = self._ask("read", lambda files, path: files.info(path), key)
        except FileNotFoundError:
            return None
        return int(found["size"] or 0) if found["type"] == "file" else None

    def keys(self, prefix: str = "") -> list[str]:
        """All keys below a folder, sorted."""
        _, root = filesystem(self.root)
        found = self._ask("read", lambda files, path: [str(name) for name in files.find(path)], prefix)
        start = len(root.rstrip("/")) + 1
        return sorted(name[start:] for name in found)

    def read(self, key: str, start: int | None = None, end: int | None = None) -> bytes:
        """A file's bytes, or those of a part of it. Raises FileNotFoundError."""
        if start is None or end is None:
            return self._ask("read", lambda files, path: read_range(files, path, 0, int(files.size(path))), key)
        return self._ask("read", lambda files, path: read_range(files, path, start, end), key)

    def get(self, key: str, target: Path, size: int | None = None) -> None:
        """Brings a file of `size` bytes here. Raises FileNotFoundError."""
        self._ask("read", lambda files, path: download(files, path, target, size), key)

    def put(self, source: Path, key: str) -> None:
        """Uploads a file; the key is whole or absent, or still the old one."""
        self._ask("written", lambda files, path: _upload(files, source, path), key)

    def create(self, key: str, data: bytes) -> bool:
        """Writes a small file unless there is another one; False where there is."""

        def ask(files: fsspec.AbstractFileSystem, path: str) -> bool:
            try:
                files.pipe_file(path, data, mode="create")
            except FileExistsError:
                # An attempt may have succeeded although its answer was lost.
                return bytes(files.cat_file(path)) == data
            return True

        return self._ask("written", ask, key)

    def overwrite(self, key: str, data: bytes) -> None:
        """Writes a small file."""
        self._ask("written", lambda files, path: files.pipe_file(path, data), key)

    def remove(self, key: str) -> None:
        """Removes a file; an absent one is no error."""
        with suppress(FileNotFoundError):
            self._ask("written", lambda files, path: files.rm_file(path), key)

    def remove_below(self, folder: str) -> None:
        """Removes all keys below a folder. Drivers report no key that stayed, so it is looked again."""

        def ask(files: fsspec.AbstractFileSystem, path: str) -> None:
            if found := files.find(path):
                files.rm(found)
                if left := files.find(path):
                    raise OSError(f"{len(left)} files cannot be removed, {left[0]} among them")

        self._ask("written", ask, folder)

    def _ask(self, doing: str, ask: Callable[[fsspec.AbstractFileSystem, str], T], key: str) -> T:
        def once() -> T:
            files, root = filesystem(self.root)
            return ask(files, f"{root.rstrip('/')}/{key}" if key else root)

        return patiently(f"{self.shown}/{key}".rstrip("/"), doing, once)


def _upload(files: fsspec.AbstractFileSystem, source: Path, path: str) -> None:
    protocols = (files.protocol,) if isinstance(files.protocol, str) else files.protocol
    if set(protocols) & set(_WHOLE):
        files.put_file(str(source), path)
        return
    aside = f"{path.rpartition('/')[0]}/.{uuid.uuid4().hex}.tmp"
    files.makedirs(path.rpartition("/")[0], exist_ok=True)
    try:
        files.put_file(str(source), aside)
        files.mv(aside, path)
    except BaseException:
        with suppress(Exception):
            files.rm_file(aside)
        raise
