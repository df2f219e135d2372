"""A dataset opened for reading, on a local path or any fsspec URI: whole splits and subsets, or one clip by its id."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from demix.dataset.layout import CLIPS, MEMBERS_OF_TWO, SHARDS, SPLITS, Split, stem_of
from demix.dataset.schema import SchemaError, check_schema, read_rows
from demix.records import SUBSETS, Subset
from demix.remote import filesystem, opened, patiently


@dataclass(frozen=True)
class StoredSample:
    """A sample as it lies in a shard; `data` maps the fields that were asked for to their bytes."""

    clip_id: str
    split: Split
    signature: str
    shard: str
    """Path of its tar, relative to the dataset."""
    data: Mapping[str, bytes]

    @property
    def subsets(self) -> tuple[str, ...]:
        return tuple(self.signature.split("+"))

    @property
    def caption(self) -> str:
        return self.data["txt"].decode()

    @property
    def record(self) -> dict[str, Any]:
        """Everything known of the clip: the `.json` member."""
        tree: dict[str, Any] = json.loads(self.data["json"])
        return tree


class Dataset:
    """The committed shards below `path`. `storage_options` go to fsspec (credentials, endpoints)."""

    def __init__(self, path: str | os.PathLike[str], **storage_options: Any):
        self._files, self.root = filesystem(os.fspath(path), storage_options)
        self._protocol = "" if "file" in _protocols(self._files) else f"{_protocols(self._files)[0]}://"

    def shards(self, subset: Subset | None = None, split: Split | None = None) -> list[str]:
        """Paths of the tars relative to the dataset, sorted: all, or those of a subset or split (whole tars, no clip
        to skip). Raises ValueError if there is no such subset or split."""
        _check("subset", subset, SUBSETS)
        _check("split", split, SPLITS)
        suffix = ".commit.json"
        pattern = f"{self.root.rstrip('/')}/{SHARDS}/*/*/*{suffix}"
        found = patiently(self.root, "read", lambda: self._files.glob(pattern))
        paths = sorted(path[len(self.root.rstrip("/")) + 1 :] for path in map(str, found))
        stems = [path.removesuffix(suffix) for path in paths if stem_of(path)]
        return [f"{stem}.tar" for stem in stems if _chosen(stem, subset, split)]

    def urls(self, subset: Subset | None = None, split: Split | None = None) -> list[str]:
        """The same as paths or URIs that other libraries can open (webdataset, datasets, Ray Data)."""
        return [f"{self._protocol}{self._path(shard)}" for shard in self.shards(subset, split)]

    def samples(
        self, subset: Subset | None = None, split: Split | None = None, fields: Collection[str] = MEMBERS_OF_TWO
    ) -> Iterator[StoredSample]:
        """All samples, shard by shard in the order of `shards`; only the bytes of `fields` are read."""
        for shard in self.shards(subset, split):
            with self.open(shard) as tar:
                for row in self._index(shard):
                    yield _read(tar, shard, row, fields)

    def find(self, clip_id: str, fields: Collection[str] = MEMBERS_OF_TWO) -> StoredSample:
        """One clip, looked up in manifests/clips.parquet. Raises KeyError if the dataset does not hold it."""
        with self.open(CLIPS) as file:
            parquet = pq.ParquetFile(file)
            check_schema(parquet.schema_arrow, "clips")
            shard = _shard_of(parquet, clip_id)
        if shard is None:
            raise KeyError(f"{self.root}: no clip {clip_id!r} here")
        row = next((row for row in self._index(shard) if row["clip_id"] == clip_id), None)
        if row is None:
            raise SchemaError(
                f"{shard}: does not hold clip {clip_id}, which the manifest places there: run demix verify"
            )
        with self.open(shard) as tar:
            return _read(tar, shard, row, fields)

    def _index(self, shard: str) -> Iterator[dict[str, Any]]:
        with self.open(f"{shard.removesuffix('.tar')}.parquet") as file:
            yield from read_rows(file, "shard")

    def open(self, path: str) -> BinaryIO:
        """A file of the dataset, by its path relative to it."""
        return opened(self._files, self._path(path))

    def exists(self, path: str) -> bool:
        return bool(patiently(self.root, "read", lambda: self._files.exists(self._path(path))))

    def _path(self, path: str) -> str:
        return f"{self.root.rstrip('/')}/{path}"


def _protocols(files: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _chosen(stem: str, subset: str | None, split: str | None) -> bool:
    _, found_split, signature, _ = stem.split("/")
    return split in (None, found_split) and (subset is None or subset in signature.split("+"))


def _check(what: str, name: str | None, known: Collection[str]) -> None:
    if name is not None and name not in known:
        raise ValueError(f"{name!r} is not a {what}; there are {', '.join(known)}")


def _shard_of(parquet: pq.ParquetFile, clip_id: str) -> str | None:
    """The shard of a clip. The manifest is sorted by clip id, so the statistics tell which row groups can hold it."""
    column = parquet.schema_arrow.get_field_index("clip_id")
    for group in range(parquet.num_row_groups):
        statistics = parquet.metadata.row_group(group).column(column).statistics
        if statistics is None or statistics.min <= clip_id <= statistics.max:
            rows: pa.Table = parquet.read_row_group(group, columns=["clip_id", "shard"])
            found = dict(zip(rows["clip_id"].to_pylist(), rows["shard"].to_pylist(), strict=True))
            if clip_id in found:
                shard: str = found[clip_id]
                return shard
    return None


def _read(tar: BinaryIO, shard: str, row: Mapping[str, Any], fields: Collection[str]) -> StoredSample:
    data = {}
    for member in row["members"]:
        if member["name"] in fields:
            tar.seek(member["offset"])
            data[member["name"]] = tar.read(member["size"])
    return StoredSample(row["clip_id"], row["split"], row["signature"], shard, data)
