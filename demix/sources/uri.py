"""How a source is named: an absolute local path, or a URI that fsspec understands."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath
from urllib.parse import quote_from_bytes, unquote_to_bytes

from demix.config import ConfigError

_CHAIN = "::"


def is_remote(text: str) -> bool:
    """Whether `text` names something outside this machine's file system."""
    return "://" in text and not text.startswith(("/", "file://"))


def local_path(text: str) -> Path:
    """The path behind a local name or `file://` URI. Names are bytes to the system: any of them round-trips.

    Raises `ConfigError` for a file on another machine.
    """
    if not text.startswith("file://"):
        return Path(text)
    host, slash, path = text.removeprefix("file://").partition("/")
    if host.lower() not in ("", "localhost"):
        raise ConfigError(f"{text}: names a file of the machine {host!r}; give file:///PATH, or a path that is mounted")
    return Path(os.fsdecode(unquote_to_bytes(slash + path)))


def chained(text: str) -> tuple[str, str]:
    """A chained URI (`zip://film.mp4::archive.zip`) as its first part and the rest, which begins with `::`; the rest of
    others is empty."""
    first, chain, rest = text.partition(_CHAIN) if is_remote(text) else (text, "", "")
    return first, chain + rest


def local_uri(path: Path) -> str:
    """The absolute path as text; a name that is not valid UTF-8 becomes a percent-encoded `file://` URI."""
    text = os.path.abspath(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return "file://" + quote_from_bytes(os.fsencode(text))
    return text


def resolve(text: str, folder: str) -> str:
    """`text` as it stands in a manifest lying in `folder` (a path or URI): relative names start there."""
    if is_remote(text):
        first, _, last = text.rpartition(_CHAIN)
        return f"{first}{_CHAIN}{resolve(last, folder)}" if first and last else text
    if text.startswith("file://") or os.path.isabs(text):
        return local_uri(local_path(text))
    if is_remote(folder):
        return f"{folder.rstrip('/')}/{PurePosixPath(text)}"
    return local_uri(Path(folder) / text)


def uri_id(uri: str) -> str:
    """16 hex digits of the uri; a candidate's identity before its content is known."""
    return hashlib.blake2b(uri.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()
