"""One shard: a tar, a parquet index of its members, and a commit file without which it does not exist.

A shard is written aside, synced and read back before anything gets its name; then tar, index and commit file take
their names in this order. A process may be killed between any two of these steps: the next run finds no commit file
that matches its plan, and writes the shard again, to the same bytes. On an object store, which knows no rename, each of
the three is uploaded whole, in the same order.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from demix.dataset import tar
from demix.dataset.layout import SHARDS, is_aside, stem_of
from demix.dataset.plan import Shard
from demix.dataset.sample import Sample
from demix.dataset.schema import write_rows
from demix.records import SCHEMA_VERSION, Media
from demix.store import Place, Store


class ShardError(Exception):
    """A shard that could not be written as planned; the message says which sample and what to do."""


class Bytes(BaseModel):
    """Size and sha256 of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: int
    sha256: str


class Commit(BaseModel):
    """The commit file: what the shard holds. Depends on the shard's content only."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: int
    split: str
    signature: str
    samples: int
    seconds: float
    clip_ids_sha256: str
    """Over the clip ids in order, one a line."""
    plan: str
    """`Shard.digest` of the plan that was written: another digest means that the shard is out of date."""
    tar: Bytes
    parquet: Bytes


def clip_ids_sha256(clip_ids: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{clip_id}\n" for clip_id in clip_ids).encode()).hexdigest()


def read_commit(dataset: Place, stem: str) -> Commit | None:
    """The commit file of a shard; None if there is none. Raises ShardError if it is not a commit file of ours."""
    store, key = Store.at(dataset), f"{stem}.commit.json"
    try:
        return Commit.model_validate_json(store.read(key))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ShardError(f"{store.address(key)}: not a commit file: {error}") from error


def is_committed(shard: Shard, dataset: Place) -> bool:
    """Whether the shard lies in the dataset as planned: same clips, same content, files of the committed size.
    (Whether the bytes are still those is what `verify` proves.)"""
    return _committed(shard, Store.at(dataset)) is not None


def write_shard(shard: Shard, samples: Iterable[Sample], store: Store, dataset: Place) -> Commit:
    """Brings a shard into the dataset, unless it is there as planned. `samples` are the planned ones, in order.

    Needs no other shard and no lock: whoever writes the same shard at the same time writes the same bytes. Raises
    ShardError if a sample is not as planned or a file of it is missing or of another size.
    """
    place = Store.at(dataset)
    if commit := _committed(shard, place):
        return commit
    tar_key, index_key, commit_key = (f"{shard.stem}{end}" for end in (".tar", ".parquet", ".commit.json"))
    with place.write(index_key) as index, place.write(tar_key) as archive:
        rows, seconds, tar_sha256 = _write_tar(archive, shard, samples, store)
        write_rows(index, "shard", rows)
        _read_back(archive, tar_sha256, rows)
        commit = Commit(
            schema_version=SCHEMA_VERSION,
            split=shard.split,
            signature=shard.signature,
            samples=len(rows),
            seconds=seconds,
            clip_ids_sha256=clip_ids_sha256(entry.clip_id for entry in shard.entries),
            plan=shard.digest,
            tar=Bytes(bytes=archive.stat().st_size, sha256=tar_sha256),
            parquet=Bytes(bytes=index.stat().st_size, sha256=tar.sha256_of(index)),
        )
        # The old commit file goes before the old tar: it must never vouch for another's bytes.
        place.remove_file(commit_key, durable=True)
    # Left in reverse order: the tar has its name now, then the index.
    with place.write(commit_key) as aside:
        aside.write_text(commit.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return commit


def prune(dataset: Place, shards: Sequence[Shard]) -> list[str]:
    """Removes shards that are no longer planned and what killed writers left; to be called when all of `shards` are
    committed and nobody writes. Returns the removed paths. Files that no shard writer made are left alone."""
    planned = {shard.stem for shard in shards}
    store = Store.at(dataset)
    files = store.files(SHARDS)
    stale = [path for path in files if is_aside(Path(path).name) or stem_of(path) not in planned | {None}]
    # A commit file goes first, so that a shard stops existing before it is incomplete.
    for path in sorted(stale, key=lambda path: (not path.endswith(".commit.json"), path)):
        store.remove_file(path)
    store.remove_empty_folders(SHARDS)
    return stale


def _committed(shard: Shard, dataset: Store) -> Commit | None:
    try:
        commit = read_commit(dataset, shard.stem)
    except ShardError:
        return None  # it is written anew
    if commit is None or commit.plan != shard.digest or commit.schema_version != SCHEMA_VERSION:
        return None
    sizes = {".tar": commit.tar.bytes, ".parquet": commit.parquet.bytes}
    there = all(dataset.size(f"{shard.stem}{suffix}") == size for suffix, size in sizes.items())
    return commit if there else None


def _write_tar(
    path: Path, shard: Shard, samples: Iterable[Sample], store: Store
) -> tuple[list[dict[str, Any]], float, str]:
    """Writes the tar; returns the rows of its index, the clips' length in seconds, and its sha256."""
    rows, seconds, remaining = [], 0.0, iter(samples)
    with open(path, "wb") as file:
        writer = tar.TarWriter(file)
        for entry in shard.entries:
            sample = next(remaining, None)
            if sample is None or sample.entry != entry:
                got = sample.entry if sample else "nothing"
                raise ShardError(f"{shard.tar}: {entry} was planned, {got} came; plan again")
            members = [_add(writer, sample, field, shard, store) for field in sample.members]
            identity = {"clip_id": entry.clip_id, "split": shard.split, "signature": shard.signature}
            rows.append(identity | {"members": members})
            seconds += float(sample.clip.seconds)
        if next(remaining, None) is not None:
            raise ShardError(f"{shard.tar}: more samples came than the {len(shard.entries)} planned; plan again")
        return rows, seconds, writer.close()


def _add(writer: tar.TarWriter, sample: Sample, field: str, shard: Shard, store: Store) -> Mapping[str, Any]:
    name = f"{sample.clip.id}.{field}"
    media = sample.media.get(field)
    if media is None:
        data = sample.caption if field == "txt" else sample.json(shard.split)
        member = writer.add(name, len(data), io.BytesIO(data))
    else:
        member = _add_media(writer, name, media, store)
    return asdict(member) | {"name": field, "key": media.key if media else None}


def _add_media(writer: tar.TarWriter, name: str, media: Media, store: Store) -> tar.Member:
    try:
        with open(store.local(media.key), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != media.bytes:
                raise ShardError(
                    f"{name}: {media.key} has {size} bytes, its record says {media.bytes}: something changed the work "
                    f"store; remove {store.root}/{media.key} and run `demix annotate` of this dataset again"
                )
            return writer.add(name, size, file)
    except FileNotFoundError as error:
        raise ShardError(
            f"{name}: {media.key} is not in the work store ({store.shown}); restore it from the dataset or run "
            "`demix annotate` of this dataset again"
        ) from error


def _read_back(path: Path, sha256: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Raises ShardError unless the file on the disk is what was written."""
    tar.forget_cache(path)
    with open(path, "rb") as file:
        found = [(member.name, member.offset, member.size, member.sha256) for member in tar.scan(file)]
    meant = [(f"{r['clip_id']}.{m['name']}", m["offset"], m["size"], m["sha256"]) for r in rows for m in r["members"]]
    if found != meant or tar.sha256_of(path) != sha256:
        raise ShardError(f"{path}: reading back gave other bytes than were written: check the disk, then run again")
