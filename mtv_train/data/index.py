"""Every window of every clip of a dataset, by subset: a table in one memory-mapped file, shared by all processes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa

from demix.dataset.reader import Dataset
from demix.remote import filesystem, patiently
from demix.store import is_local
from mtv_train.data.demix_rows import demix_rows, is_demix, version
from mtv_train.data.errors import DatasetError
from mtv_train.data.settings import DataSettings, WindowSettings
from mtv_train.data.table import FIELDS, VERSION, ClipRow, Rows, open_table, write_table
from mtv_train.data.tar_rows import scan_tars

_KEPT_ROWS = 256


@dataclass(frozen=True)
class Window:
    """One window: frames [first, first + window.frames) of a clip, on the window settings' clock."""

    clip: ClipRow
    first: int
    clip_frames: int
    """Frames of the whole clip on that clock."""

    @property
    def key(self) -> str:
        return f"{self.clip.key}@{self.first}"


class DatasetIndex:
    """The windows of one split. Rows are sorted by the clips' keys, so nothing depends on how shards are laid out."""

    def __init__(
        self, path: Path, window: WindowSettings, split: str, storage_options: Mapping[str, str] | None = None
    ):
        self.path, self.window_settings, self.split = path, window, split
        self.storage_options = dict(storage_options or {})
        self._table, self.shards, self.left_out = open_table(path)
        self._frames = _frames(self._table, window.rate)
        windows = np.maximum((self._frames - window.frames) // window.stride + 1, 0)
        self._mine = _names(self._table, "split") == split.encode()
        windows[~self._mine] = 0
        self._rows: dict[str, np.ndarray] = {}
        self._ends: dict[str, np.ndarray] = {}
        for subset, mine in _members(_names(self._table, "subsets")).items():
            self._rows[subset] = np.flatnonzero(mine & (windows > 0))
            self._ends[subset] = np.cumsum(windows[self._rows[subset]])
        self._used = np.flatnonzero(windows > 0)
        # Whoever reads ahead asks for a clip several times.
        self._row = lru_cache(_KEPT_ROWS)(Rows(self._table))

    def __reduce__(self) -> tuple[object, ...]:
        return DatasetIndex, (self.path, self.window_settings, self.split, self.storage_options)

    @classmethod
    def open(cls, settings: DataSettings, split: str = "train") -> DatasetIndex:
        """The index of `settings.dataset`; made if it is not cached yet, which for plain WebDataset tars reads them
        once. Raises `DatasetError`. Training opens "train" only, validation "test"."""
        return cls(index_file(settings), settings.window, split, settings.storage_options)

    @property
    def subsets(self) -> tuple[str, ...]:
        """Names of the subsets, sorted."""
        return tuple(sorted(self._rows))

    @property
    def clips(self) -> int:
        """Clips that hold at least one window."""
        return len(self._used)

    @property
    def longest(self) -> int:
        """Frames of the longest of those clips."""
        return int(self._frames[self._used].max(initial=0))

    def clip(self, number: int) -> ClipRow:
        """The `number`-th of those clips, in the order of their keys."""
        return self._row(int(self._used[number]))

    def clip_frames(self, clip: ClipRow) -> int:
        """Frames of a clip on the window settings' clock."""
        return int(clip.length * self.window_settings.rate)

    def firsts(self, clip: ClipRow) -> range:
        """First frames of a clip's windows."""
        return range(0, self.clip_frames(clip) - self.window_settings.frames + 1, self.window_settings.stride)

    def count(self, subset: str) -> int:
        """Windows of a subset; raises `DatasetError` if there is no such subset."""
        ends = self._ends.get(subset)
        if ends is None:
            raise DatasetError(f"no clip is in the subset {subset!r}; there are {', '.join(self.subsets) or 'none'}")
        return int(ends[-1]) if len(ends) else 0

    def window(self, subset: str, number: int) -> Window:
        """Window `number` of a subset: clips in the order of their keys, windows of a clip in that of time."""
        ends = self._ends[subset]
        position = int(np.searchsorted(ends, number, side="right"))
        before = int(ends[position - 1]) if position else 0
        row = int(self._rows[subset][position])
        first = (number - before) * self.window_settings.stride
        return Window(self._row(row), first, int(self._frames[row]))

    def check(self) -> str:
        """Raises `DatasetError` where not a single clip of the split can be trained on, or shards that it lies in are
        not there. What a person should know besides, or nothing."""
        clips = int(self._mine.sum())
        if not clips:
            there = ", ".join(sorted({name.decode() for name in _names(self._table, "split")})) or "no clip at all"
            raise DatasetError(f"no clip is in the split {self.split} (splits there are: {there})")
        self._check_shards()
        window = self.window_settings
        short = clips - self.clips
        needed = f"a window ({window.frames} frames at {window.fps} fps, {float(window.frames / window.rate):.2f} s)"
        if not self.clips:
            longest = int(self._frames[self._mine].max())
            raise DatasetError(
                f"all {clips} clips of the split {self.split} are shorter than {needed}; the longest has {longest} "
                "frames: lower data.window.frames, or give longer clips"
            )
        if not short:
            return ""
        return f"{short} of {clips} clips of the split {self.split} are shorter than {needed}: not used"

    def _check_shards(self) -> None:
        numbers = np.unique(_column(self._table, "shard")[self._mine])
        missing = absent([self.shards[number] for number in numbers], self.storage_options)
        if missing:
            without = "" if self.split == "train" else ", or train without what is measured on it: validation.every=0"
            raise DatasetError(
                f"{len(missing)} of {len(numbers)} shards of the split {self.split} are missing: "
                f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}; copy the dataset whole{without}"
            )

    def fingerprint(self) -> str:
        """32 hex digits over the content of all clips, their subsets, and the window settings; not over where they
        lie."""
        used = self._table.take(pa.array(self._used))
        digest = hashlib.blake2b(f"{self.split}\0{self.window_settings.model_dump_json()}".encode(), digest_size=16)
        for name in ("key", "subsets"):
            digest.update("\n".join(used[name].to_pylist()).encode())
        for field in FIELDS:
            digest.update(b"".join(used[f"{field}:sha256"].to_pylist()))
        return digest.hexdigest()


def absent(addresses: Sequence[str], storage_options: Mapping[str, str]) -> list[str]:
    """Those of some files, all of one place, that are not there. Asks for each folder once."""
    files, _ = filesystem(addresses[0], storage_options)
    paths = {address: str(files._strip_protocol(address)) for address in addresses}
    there: set[str] = set()
    for folder in {files._parent(path) for path in paths.values()}:
        with suppress(FileNotFoundError):
            there |= set(patiently(folder, "read", partial(files.ls, folder, detail=False)))
    return [address for address, path in paths.items() if path not in there]


def index_file(settings: DataSettings) -> Path:
    """The index of a dataset as a local file, made where there is none for its present content."""
    if not settings.dataset:
        raise DatasetError("data.dataset is empty: name a DEMIX dataset or WebDataset tars")
    dataset = Dataset(settings.dataset, **settings.storage_options)
    if is_demix(dataset):
        two_voices = "speech2" in settings.window.tracks
        path = _cache(settings, None) / _name(settings, f"{version(dataset)}\0{two_voices}")
        if not path.exists():
            rows, shards = demix_rows(dataset, two_voices)
            write_table(path, rows, shards)
        return path
    files, root = filesystem(settings.dataset, settings.storage_options)
    tars = _tars(files, root.rstrip("/"))
    required = ("mp4", *(f"{track}.flac" for track in settings.window.tracks), "txt")
    states = patiently(root, "read", lambda: [(tar, files.ukey(tar)) for tar in tars])
    content = "\n".join(f"{tar}\t{state}" for tar, state in states) + f"\0{required}\0{settings.subset}"
    path = _cache(settings, Path(tars[0]).parent if is_local(settings.dataset) else None) / _name(settings, content)
    if not path.exists():
        scan = scan_tars(files, tars, required, settings.subset)
        if scan.unusable and settings.unusable == "refuse":
            first = "; ".join(list(scan.unusable.values())[:5])
            raise DatasetError(
                f"{len(scan.unusable)} of {len(scan.unusable) + len(scan.rows)} clips cannot be used: {first}. "
                "Mend them, or set data.unusable=leave_out to train without them"
            )
        write_table(path, scan.rows, [_address(settings, tar) for tar in tars], sorted(scan.unusable))
    return path


def _tars(files: fsspec.AbstractFileSystem, root: str) -> list[str]:
    pattern = root if root.endswith(".tar") or "*" in root else f"{root}/**/*.tar"
    found = map(str, patiently(root, "read", lambda: files.glob(pattern)))
    tars = sorted(tar for tar in found if not tar.rpartition("/")[2].startswith("."))
    if not tars:
        raise DatasetError(f"{root}: neither a finished DEMIX dataset (no manifests/commit.json) nor any .tar file")
    return tars


def _address(settings: DataSettings, path: str) -> str:
    protocol = settings.dataset.partition("://")[0]
    return path if is_local(settings.dataset) else f"{protocol}://{path}"


def _name(settings: DataSettings, content: str) -> str:
    text = f"{VERSION}\0{settings.dataset}\0{content}"
    return f"mtv-{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}.arrow"


def _cache(settings: DataSettings, beside: Path | None) -> Path:
    """The folder for index files."""
    if settings.index_cache:
        return Path(settings.index_cache)
    if beside is not None and os.access(beside, os.W_OK):
        return beside / ".mtv-index"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mtv_train"


def _column(table: pa.Table, name: str) -> np.ndarray:
    """As numpy. Not by pyarrow's own conversion: that imports pandas first, which takes longer than all else here."""
    return np.from_dlpack(table[name].combine_chunks())


def _names(table: pa.Table, name: str) -> np.ndarray:
    """A column of short texts as numpy's bytes, from Arrow's own layout: all texts one after another, and where each
    ends. What pyarrow has for this imports its compute functions, which takes longer than all else here."""
    column = table[name].combine_chunks()
    if not len(column):
        return np.empty(0, "S1")
    _, places, texts = column.buffers()
    ends = np.frombuffer(places, np.int32)[column.offset : column.offset + len(column) + 1]
    sizes = np.diff(ends)
    width = max(int(sizes.max(initial=0)), 1)
    padded = np.zeros((len(column), width), np.uint8)
    padded[np.arange(width) < sizes[:, None]] = np.frombuffer(texts, np.uint8)[ends[0] : ends[-1]]
    return padded.view(f"S{width}")[:, 0]


def _frames(table: pa.Table, rate: Fraction) -> np.ndarray:
    """Whole frames of every clip at `rate`."""
    numerator, denominator = _column(table, "length_numerator"), _column(table, "length_denominator")
    frames: np.ndarray = numerator * rate.numerator // (denominator * rate.denominator)
    return frames


def _members(signatures: np.ndarray) -> dict[str, np.ndarray]:
    """subset -> which rows are in it."""
    names, places = np.unique(signatures, return_inverse=True)
    rows = [set(name.decode().split("+")) for name in names]
    return {subset: np.array([subset in row for row in rows], bool)[places] for subset in sorted(set().union(*rows))}
