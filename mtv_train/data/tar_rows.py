"""The clips of plain WebDataset tars, found by reading every tar once: members' places, hashes, lengths of pictures.

A sample is all members whose base names agree up to the first dot, as in the `webdataset` package; its key is the name
up to there, with its folder. A `.json` that names `subsets`, a list, and `split`, train or test, is heeded (DEMIX's
does).
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import fsspec

from demix.dataset.layout import SPLITS
from demix.remote import opened
from mtv_train.data.errors import DatasetError, SampleError
from mtv_train.data.prompt import decoded_caption
from mtv_train.data.table import FIELDS, ClipRow, Member
from mtv_train.data.video import picture_seconds

_THREADS = 8


@dataclass
class _Found:
    """Members of one sample as they turn up in a tar."""

    members: dict[str, Member] = field(default_factory=dict)
    seconds: Fraction | None = None
    """Length of the pictures."""
    subsets: tuple[str, ...] = ()
    split: str = "train"
    wrong: list[SampleError] = field(default_factory=list)
    """Why it cannot be used."""


@dataclass(frozen=True)
class Scan:
    """What the tars hold: usable clips, and why the others are not usable, by key."""

    rows: list[ClipRow]
    unusable: dict[str, str]


def scan_tars(files: fsspec.AbstractFileSystem, paths: Sequence[str], required: Sequence[str], subset: str) -> Scan:
    """Reads all tars once. `required` are the members that a clip must have; `subset` that of clips that name none.

    Raises DatasetError for a tar that cannot be read.
    """
    rows: list[ClipRow] = []
    unusable: dict[str, str] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for number, found in enumerate(pool.map(lambda path: _scan(files, path), paths)):
            for key, sample in found.items():
                try:
                    rows.append(_row(key, sample, number, required, subset))
                except SampleError as error:
                    unusable[key] = str(error)
    return Scan(rows, unusable)


def _scan(files: fsspec.AbstractFileSystem, path: str) -> dict[str, _Found]:
    samples: dict[str, _Found] = {}
    try:
        with opened(files, path) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for info in tar:
                # Hidden files, as macOS puts beside others (`._x.mp4`), are no members.
                if info.isfile() and not info.name.rpartition("/")[2].startswith("."):
                    _note(samples, info, tar.extractfile(info).read(), path)  # type: ignore[union-attr]
    except (tarfile.TarError, OSError) as error:
        raise DatasetError(f"{path}: cannot be read as a tar: {error}") from error
    return samples


def _note(samples: dict[str, _Found], info: tarfile.TarInfo, data: bytes, path: str) -> None:
    folder, slash, name = info.name.rpartition("/")
    stem, _, extension = name.partition(".")
    key = f"{folder}{slash}{stem}"
    sample = samples.setdefault(key, _Found())
    if extension in sample.members:
        raise DatasetError(f"{path}: the member {info.name} is there twice")
    if extension in FIELDS:
        sample.members[extension] = Member(info.offset_data, info.size, hashlib.sha256(data).digest())
    try:
        if extension == "mp4":
            # Looked into at once: only its length is kept, a tar's films would not fit in memory.
            sample.seconds = picture_seconds(data, key)
        elif extension == "txt":
            decoded_caption(key, data)
        elif extension == "json":
            facts = _json(key, data)
            sample.subsets, sample.split = _subsets(key, facts), _split(key, facts)
    except SampleError as error:
        sample.wrong.append(error)


def _json(key: str, data: bytes) -> dict[str, Any]:
    try:
        tree = json.loads(data)
    except ValueError as error:
        raise SampleError(key, "facts", f"its .json is no JSON ({error})") from error
    return tree if isinstance(tree, dict) else {}


def _subsets(key: str, facts: dict[str, Any]) -> tuple[str, ...]:
    """Those that a `.json` names; none where it names none."""
    subsets = facts.get("subsets")
    if subsets is None:
        return ()
    if not isinstance(subsets, list):
        meant = f", for instance {json.dumps([subsets])}" if isinstance(subsets, str) else ""
        raise SampleError(key, "facts", f'its .json gives "subsets" as {json.dumps(subsets)}; give a list{meant}')
    if not all(isinstance(name, str) and name and "+" not in name for name in subsets):
        raise SampleError(key, "facts", f"its .json names strange subsets: {json.dumps(subsets)}")
    return tuple(subsets)


def _split(key: str, facts: dict[str, Any]) -> str:
    split = facts.get("split")
    if split is None:
        return "train"
    if split not in SPLITS:
        raise SampleError(key, "facts", f'its .json gives "split" as {json.dumps(split)}; give {" or ".join(SPLITS)}')
    return str(split)


def _row(key: str, sample: _Found, shard: int, required: Sequence[str], subset: str) -> ClipRow:
    absent = [name for name in required if name not in sample.members]
    if absent:
        raise SampleError(key, "read", f"has no member {', '.join(absent)}")
    if sample.wrong or sample.seconds is None:
        raise sample.wrong[0]
    return ClipRow(key, shard, sample.split, sample.subsets or (subset,), sample.seconds, sample.members)
