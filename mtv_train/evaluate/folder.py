"""What is to be scored and against what: folders of videos with their texts, and datasets."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath

from demix.config import ConfigError
from demix.dataset.layout import SHARDS
from demix.dataset.reader import Dataset
from demix.store import atomic
from mtv_train.evaluate.video import Video

SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v")
TEXT_KEYS = ("prompt", "caption", "text")
"""Where a .json beside a video may hold its text; the sampler's sidecar has the first."""


def find_videos(folder: Path) -> list[Video]:
    """All videos below `folder`, sorted by name; hidden names, as other systems leave behind (`._x.mp4`), are none. A
    video's text is the .txt of the same name beside it, or the prompt in a .json there. Raises `ConfigError` if there
    is no video."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: not a folder of videos")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    paths = sorted(path for path in found if not is_hidden(path.relative_to(folder)))
    if not paths:
        raise ConfigError(f"{folder}: holds no video ({', '.join(SUFFIXES)})")
    return [_video(path, folder) for path in paths]


def is_hidden(path: PurePosixPath | Path) -> bool:
    """Whether a relative path lies in a hidden folder, or is a hidden file."""
    return any(part.startswith(".") for part in path.parts)


def _video(path: Path, folder: Path) -> Video:
    name = path.relative_to(folder).as_posix()
    try:
        return Video(name, path, next(_texts_beside(path), None))
    except (OSError, ValueError) as error:
        return Video(name, path, None, f"its text cannot be read: {error}", broken_text=True)


def stems(videos: Iterable[Video]) -> set[str]:
    """The files' names without folders and suffixes: a clip's id, where a video was made after one."""
    return {PurePosixPath(video.name).stem for video in videos}


class Reference:
    """The real videos: a DEMIX dataset (path or URI), or a folder of videos."""

    def __init__(self, path: str):
        self.path = path
        is_dataset = "://" in path or (Path(path) / SHARDS).is_dir()
        self.dataset = Dataset(path) if is_dataset else None

    def captions(self, names: Collection[str]) -> dict[str, str]:
        """By clip id, of those of `names` that are clips of the dataset."""
        if self.dataset is None:
            return {}
        return {name: self.dataset.find(name, ("txt",)).caption for name in sorted(self._clips & set(names))}

    def videos(self, names: Collection[str], media: Path, limit: int | None) -> tuple[list[Video], str]:
        """The real videos, and in words which they are. Of a dataset: the clips that `names` names, where all of them
        are clips; else its test split. Their files are written to the folder `media` and stay for the next time.

        Raises `ConfigError` if there is none.
        """
        if self.dataset is None:
            videos = find_videos(Path(self.path))[:limit]
            return videos, f"{len(videos)} videos of a folder"
        if names and set(names) <= self._clips:
            clips = sorted(names)
            about = f"the {len(clips)} clips of the dataset that the videos are named after"
        else:
            clips = sorted(sample.clip_id for sample in self.dataset.samples(split="test", fields=()))[:limit]
            about = f"{len(clips)} clips of the dataset's test split"
        if not clips:
            raise ConfigError(f"{self.path}: the dataset has no test split to compare with")
        return [self._extracted(clip, media) for clip in clips], about

    def _extracted(self, clip: str, media: Path) -> Video:
        assert self.dataset is not None
        sample = self.dataset.find(clip, fields=("mp4", "txt"))
        path = media / f"{clip}.mp4"
        if not path.exists():
            with atomic(path) as aside:
                aside.write_bytes(sample.data["mp4"])
        return Video(clip, path, sample.caption)

    @cached_property
    def _clips(self) -> set[str]:
        assert self.dataset is not None
        return {sample.clip_id for sample in self.dataset.samples(fields=())}


def _texts_beside(path: Path) -> Iterator[str]:
    plain, sidecar = path.with_suffix(".txt"), path.with_suffix(".json")
    if plain.is_file():
        yield _read(plain).strip()
    if sidecar.is_file():
        try:
            tree = json.loads(_read(sidecar))
        except json.JSONDecodeError as error:
            raise ValueError(f"{sidecar.name} is not valid JSON ({error}); repair or remove it") from error
        yield from (tree[key] for key in TEXT_KEYS if isinstance(tree, dict) and isinstance(tree.get(key), str))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8 (byte {error.start + 1}); save it as UTF-8 or remove it") from error
