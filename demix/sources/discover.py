"""From what a person names to candidates: files, folders and manifests, local or remote."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from demix.config import ConfigError
from demix.records import Candidate, Kind
from demix.redact import public, redacted
from demix.sources.folder import files_below, remote_files
from demix.sources.manifest import Listed, is_manifest, read_manifest
from demix.sources.uri import is_remote, local_path, local_uri, resolve, uri_id

DEFAULT_KIND: Kind = "cinematic"


def discover(inputs: Sequence[str], kind: Kind | None = None) -> Iterator[Candidate]:
    """Every file that `inputs` name, once each, in the order named. Nothing is opened but manifests.

    An input is a file, a folder (searched to its depths; whatever lies there is a candidate, as names prove nothing),
    or a manifest (`.csv`, `.jsonl`, `.parquet`). A manifest's own kind wins over `kind`; without either, a candidate is
    cinematic.
    Raises `ConfigError` for an input that does not exist.
    """
    seen: set[str] = set()
    for text in inputs:
        for listed in _listed(text):
            # What is noted of a film holds no credentials; workers find the whole address by the public form.
            uri = public(listed.uri) if is_remote(listed.uri) else listed.uri
            if uri not in seen:
                seen.add(uri)
                yield Candidate(
                    id=uri_id(uri),
                    uri=uri,
                    kind=listed.kind or kind or DEFAULT_KIND,
                    metadata={name: redacted(text) for name, text in listed.metadata.items()},
                )


def _listed(text: str) -> Iterator[Listed]:
    if is_manifest(text) and (is_remote(text) or local_path(text).is_file()):
        yield from read_manifest(text)
        return
    uris = _remote(resolve(text, os.getcwd())) if is_remote(text) else map(local_uri, _local(text))
    yield from (Listed(uri, None, {}) for uri in uris)


def _local(text: str) -> Iterator[Path]:
    path = local_path(text)
    if path.is_dir():
        yield from files_below(path)
    elif path.is_file():
        yield path
    elif path.exists():
        raise ConfigError(f"{text}: neither a file nor a folder; give films, folders or a manifest")
    else:
        raise ConfigError(f"{text}: no such file or folder (looked for {path.absolute()}); check the spelling")


def _remote(text: str) -> list[str]:
    uris = remote_files(text)
    if not uris:
        raise ConfigError(f"{text}: there is nothing there; check the spelling and the access rights")
    return uris
