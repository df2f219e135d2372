"""A local copy of a source: the file itself where it is local, otherwise downloaded once per machine."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demix.config import ConfigError
from demix.errors import DemixError, MachineSuspected, MachineTrouble
from demix.machine import GO_ON, expecting_trouble, trouble_in
from demix.redact import HIDDEN, is_known, redacted
from demix.remote import StoreTrouble, download, filesystem, patiently
from demix.remote import state_of as state_of_file
from demix.sources.uri import is_remote, local_path
from demix.store import Store, atomic

_SPARE = 0.1
"""Share of the disk that downloads leave free; least recently used copies go to make room."""


class SourceMissing(FileNotFoundError):
    """The file is not there, although what lies beside it is."""


class SourceChanged(Exception):
    """The file is not the one that was probed: what is known of it is said of another one."""

    retryable = False


@contextmanager
def local_copy(uri: str, *, was_there: bool = True) -> Iterator[Path]:
    """A path to read the source at `uri` from, valid inside the block.

    A remote source is downloaded whole, once for all processes of this machine, into `$DEMIX_CACHE` or the system's
    folder for temporary files; when its size, time or tag there changes, it is a new one.

    Raises `FileNotFoundError`, `MachineTrouble` where not the file is gone but all that lies beside it (unless it was
    never there: `was_there`), and `MachineSuspected` where a remote one cannot be fetched. What the block raises is
    replaced by these if they hold by then: libraries say little of a file that went away.
    """
    if not is_remote(uri):
        path = local_path(uri)
        _look_at(path, uri, was_there)
        try:
            yield path
        except Exception:
            _look_at(path, uri, was_there)
            raise
        return
    folder = _cache()
    with _reaching(uri):
        files, address = filesystem(uri)
        state, size = patiently(redacted(uri), "read", lambda: state_of_file(files, address))
        version = hashlib.blake2b(f"{uri}\0{state}".encode(), digest_size=16).hexdigest()
    path = folder / version
    with open(folder / f"{version}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process downloads, the others wait here
        if not path.exists():
            with _reaching(uri):
                _make_room(folder, size)
                with atomic(path) as aside:
                    patiently(redacted(uri), "read", lambda: download(files, address, aside, size or None))
        os.utime(path)
        fcntl.flock(lock, fcntl.LOCK_SH)  # in use: `_make_room` of others leaves it alone
        yield path


@contextmanager
def probed_copy(uri: str, sha256: str, store: Store) -> Iterator[Path]:
    """`local_copy` of a source whose content was probed. Raises `SourceChanged` where it is another one by now, before
    the block or during it.

    The work store holds under which file system's state a content was seen; a file in another state is hashed again.
    """
    with local_copy(uri) as path:
        before = state_of(uri, path)
        if _seen(uri, store) != (before, sha256):
            check_content(uri, path, sha256)
            note_content(uri, before, sha256, store)
        try:
            yield path
        except Exception as error:
            if os.strerror(errno.EIO) in getattr(error, "detail", ""):  # libraries say so of damaged media, too
                check_content(uri, path, sha256)
            raise
        check_state(uri, path, before)


def check_content(uri: str, path: Path, sha256: str) -> None:
    """Reads the whole file at `path`. Raises `SourceChanged` if its content is another one, `MachineTrouble` where the
    device cannot read it."""
    with expecting_trouble(path, "read"), open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise SourceChanged(
            f"{uri}: the file was replaced since it was probed; name the sources again (`demix index`, `demix build`) "
            "to use the new one"
        )


def check_state(uri: str, path: Path, before: str) -> None:
    """Raises `SourceChanged` if the file is not in the state any more that `state_of` gave before."""
    if state_of(uri, path) != before:
        raise SourceChanged(f"{uri}: the file was replaced or written while it was being read; name the sources again")


def state_of(uri: str, path: Path) -> str:
    """Changes whenever the file at `path`, a local copy of `uri`, is written or replaced. Does not read it."""
    if is_remote(uri):
        return path.name  # named after its version
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"


def note_content(uri: str, state: str, sha256: str, store: Store) -> None:
    """Remembers that the file at `uri` has this content as long as it is in this state."""
    with store.write(_content_key(uri)) as path:
        path.write_text(json.dumps([state, sha256]))


def _seen(uri: str, store: Store) -> tuple[str, str] | None:
    """(state, sha256) of the file at `uri` when it was last read whole."""
    key = _content_key(uri)
    if not store.exists(key):
        return None
    state, sha256 = json.loads(store.local(key).read_text())
    return state, sha256


def _content_key(uri: str) -> str:
    return f"sources/{hashlib.blake2b(uri.encode(), digest_size=16).hexdigest()}.json"


def _look_at(path: Path, uri: str, was_there: bool) -> None:
    """Raises unless the file at `path` can be read now; see `local_copy`."""
    try:
        with open(path, "rb") as file:
            file.read(1)
    except (FileNotFoundError, NotADirectoryError):
        if was_there and _is_deserted(path.parent):
            raise MachineTrouble(
                f"{uri}: is gone with all that lay beside it; bring {path.parent} back (is it mounted?), {GO_ON}. If "
                "it was removed on purpose, name the sources anew without it"
            ) from None
        raise SourceMissing(
            f"{uri}: no such file on this machine{', while others lie beside it' if was_there else ''}; put it there "
            "(every node must reach it) and give the same command with --retry-failed, or name the sources anew"
        ) from None
    except OSError as error:
        trouble = trouble_in(error, path)
        if trouble is not None:
            raise trouble from error
        raise


def _is_deserted(folder: Path) -> bool:
    """Whether a folder is gone or empty, as the place is where a disk was mounted."""
    try:
        return not any(folder.iterdir())
    except OSError:
        return True


@contextmanager
def _reaching(uri: str) -> Iterator[None]:
    """Around what is asked of a remote file system, whose libraries have errors of all kinds."""
    if not is_known(uri):
        raise ConfigError(
            f"{uri}: it was named with credentials (now {HIDDEN}), which are kept nowhere; give the command with the "
            "films' whole addresses, `demix build FILMS`"
        )
    try:
        yield
    except StoreTrouble as error:
        if isinstance(error.__cause__, PermissionError):
            raise PermissionError(f"{uri}: access is denied ({error.__cause__})") from error
        raise MachineSuspected(f"{uri}: cannot be fetched ({error})") from error
    except (FileNotFoundError, DemixError):
        raise
    except Exception as error:
        raise MachineSuspected(f"{uri}: cannot be fetched ({type(error).__name__}: {error})") from error


def stamp_of(uri: str) -> str:
    """Changes when the file at `uri` is replaced: its size and time. Empty for remote ones, where asking for every one
    would take hours, and for a file that is not there."""
    if is_remote(uri):
        return ""
    try:
        status = local_path(uri).stat()
    except OSError:
        return ""
    return f"{status.st_size}-{status.st_mtime_ns}"


def _cache() -> Path:
    root = os.environ.get("DEMIX_CACHE") or os.path.join(tempfile.gettempdir(), f"demix-sources-{os.getuid()}")
    folder = Path(root)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _make_room(folder: Path, needed: int) -> None:
    """Removes least recently used copies that nobody reads until `needed` bytes fit with some to spare."""
    copies = [path for path in folder.iterdir() if not path.name.startswith(".") and path.suffix != ".lock"]
    for path in sorted(copies, key=lambda copy: copy.stat().st_mtime):
        usage = shutil.disk_usage(folder)
        if usage.free - needed > _SPARE * usage.total:
            return
        with open(path.with_suffix(".lock"), "a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            path.unlink(missing_ok=True)
