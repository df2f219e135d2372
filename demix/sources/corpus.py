"""Published corpora: from their metadata and the media on disk to a manifest of sources.

A corpus is read as entries. An entry names the file that holds it, by its stem, and may be a part of that file; parts
of one file become one source with several spans. Media that are not there are listed, and stop nobody.
"""

from __future__ import annotations

import csv
import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from demix.config import ConfigError
from demix.records import Kind
from demix.sources.folder import files_below
from demix.sources.spans import SPANS, Span, as_text
from demix.sources.uri import local_uri
from demix.store import atomic


@dataclass(frozen=True)
class Entry:
    """One item of a corpus as its metadata describes it."""

    id: str
    """As the corpus calls it."""
    kind: Kind
    stems: tuple[str, ...]
    """File names without suffix that hold the item and nothing else, best first."""
    pieces: str = ""
    """Beginning of the names of files that hold the item together; empty if it is never cut up."""
    within: str = ""
    """Stem of a longer file that holds it at `span`; empty if there is none."""
    span: Span | None = None
    """Seconds from the beginning of the file `within`."""
    url: str = ""
    """Where the media can be had, for the list of what is missing."""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Corpus:
    """A known corpus. `reader` is `module:function`, a function from the metadata's path to entries."""

    name: str
    about: str
    metadata: str
    """What file of the corpus is to be given."""
    licence: str
    reader: str

    def entries(self, metadata: Path) -> Iterator[Entry]:
        """The entries. Raises `ConfigError` naming the file where it is not what it should be."""
        module, _, function = self.reader.partition(":")
        read: Callable[[Path], Iterator[Entry]] = getattr(importlib.import_module(module), function)
        try:
            yield from read(metadata)
        except OSError as error:
            raise ConfigError(f"{metadata}: cannot be read ({error.strerror}); give {self.metadata}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{metadata}: not the metadata of {self.name} ({what}); give {self.metadata}") from error


CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            "celebv-hq",
            "talking heads, 35,666 clips of 15,653 persons (basic_face)",
            "celebvhq_info.json",
            "non-commercial research; videos belong to their owners",
            "demix.sources.celebv_hq:read",
        ),
        Corpus(
            "moviebench",
            "films as the clips of LSMDC",
            "data_split.json",
            "as LSMDC: research, on signed request",
            "demix.sources.moviebench:read",
        ),
        Corpus(
            "condensed-movies",
            "key scenes of 3,605 films",
            "metadata/clips.csv (durations.csv beside it takes the advertisement off the end)",
            "CC BY 4.0 for the metadata; videos belong to their owners",
            "demix.sources.condensed_movies:read",
        ),
        Corpus(
            "short-films-20k",
            "20,143 amateur short films",
            "the CSV or parquet with the columns video_id and video_url",
            "CC BY-NC-SA 4.0 for the metadata; videos belong to their owners",
            "demix.sources.short_films:read",
        ),
        Corpus(
            "web",
            "web videos by id or address",
            "a list of ids or addresses, one a line",
            "videos belong to their owners",
            "demix.sources.youtube:read",
        ),
    )
}


@dataclass
class Matched:
    """What of a corpus is on disk."""

    sources: list[dict[str, str]]
    """Rows of a manifest: uri, kind, and metadata."""
    missing: list[Entry]
    found: int = 0
    """Entries, of which several may lie in one source."""


def match(corpus: Corpus, entries: Iterable[Entry], media: Path) -> Matched:
    """Finds the media of every entry below the folder `media`. Raises `ConfigError` if that cannot be read."""
    files = _by_stem(media)
    rows: dict[str, dict[str, str]] = {}
    spans: dict[str, list[Span]] = {}
    matched = Matched([], [])
    for entry in entries:
        own = _own_files(entry, files)
        paths = own or [files[stem] for stem in [entry.within] if stem in files]
        if not paths:
            matched.missing.append(entry)
            continue
        matched.found += 1
        for uri in map(local_uri, paths):
            row = rows.setdefault(uri, {"uri": uri, "kind": entry.kind, "corpus": corpus.name, **entry.metadata})
            row["corpus_id"] = f"{row['corpus_id']} {entry.id}" if "corpus_id" in row else entry.id
            if not own and entry.span is not None:
                spans.setdefault(uri, []).append(entry.span)
    for uri, parts in spans.items():
        rows[uri][SPANS] = as_text(parts)
    matched.sources = [rows[uri] for uri in sorted(rows)]
    return matched


def write(matched: Matched, manifest: Path) -> Path:
    """Writes the manifest (JSON lines) and, beside it, the list of what is missing; returns the latter's path."""
    with atomic(manifest) as path:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in matched.sources), "utf-8")
    missing = manifest.with_name(f"{manifest.stem}.missing.csv")
    with atomic(missing) as path, open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "file", "url"])
        table.writerows((entry.id, entry.within or entry.stems[0], entry.url) for entry in matched.missing)
    return missing


def csv_rows(path: Path, *columns: str) -> Iterator[dict[str, str]]:
    """The rows of a CSV file. Raises ValueError if its header lacks one of the columns."""
    with open(path, newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        if absent := [name for name in columns if name not in (table.fieldnames or ())]:
            raise ValueError(f"it has no column {', '.join(absent)}")
        yield from table


def _own_files(entry: Entry, files: dict[str, Path]) -> list[Path]:
    """The file, or the pieces, that hold nothing but this entry."""
    whole = [files[stem] for stem in entry.stems if stem in files]
    if whole or not entry.pieces:
        return whole[:1]
    return [path for stem, path in sorted(files.items()) if stem.startswith(entry.pieces)]


def _by_stem(media: Path) -> dict[str, Path]:
    """Stem → file; of several with one stem the first by path, as their names say nothing else."""
    found: dict[str, Path] = {}
    for path in files_below(media):
        found.setdefault(path.stem, path)
    return found
