"""What is to be scored and against what: folders of videos with their texts, and datasets."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from demix.config import ConfigError
from demix.dataset.layout import SHARDS
from demix.dataset.reader import Dataset, StoredSample
from demix.store import atomic
from mtv_train.evaluate.video import Video

SUFFIXES = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v")
TEXT_KEYS = ("prompt", "caption", "text")
"""Where a .json beside a video may hold its text; the sampler's sidecar has the first."""


@dataclass(frozen=True)
class Reference:
    """The real videos."""

    videos: tuple[Video, ...]
    about: str
    """How they were chosen, for the report."""


def find_videos(folder: Path, texts: Mapping[str, str] | None = None) -> list[Video]:
    """All videos below `folder`, sorted by name. A text comes from the .txt or .json of the same name beside the video,
    else from `texts` by its stem (a dataset's captions by clip id). Raises `ConfigError` if there is no video."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: not a folder of videos")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ConfigError(f"{folder}: holds no video ({', '.join(SUFFIXES)})")
    return [Video(path.relative_to(folder).as_posix(), path, _text(path, texts or {})) for path in paths]


def is_dataset(path: str) -> bool:
    """Whether a path or URI is a DEMIX dataset; else it should be a folder of videos."""
    return "://" in path or (Path(path) / SHARDS).is_dir()


def captions(path: str) -> dict[str, str]:
    """Every clip's caption by its id, both splits. Empty for a plain folder."""
    if not is_dataset(path):
        return {}
    return {sample.clip_id: sample.caption for sample in Dataset(path).samples(fields=("txt",))}


def reference(path: str, generated: Collection[str], media: Path, limit: int | None) -> Reference:
    """The real videos at `path`. Of a dataset: the clips after which all `generated` stems are named, where they are;
    else its test split. Their files are written to the folder `media` and stay there for the next time."""
    if not is_dataset(path):
        videos = find_videos(Path(path))[:limit]
        return Reference(tuple(videos), f"{len(videos)} videos of a folder")
    dataset = Dataset(path)
    wanted = set(generated)
    known = {sample.clip_id for sample in dataset.samples(fields=())}
    if wanted and wanted <= known:
        clips = [dataset.find(clip, fields=("mp4", "txt")) for clip in sorted(wanted)]
        about = f"the {len(clips)} clips of the dataset that the videos are named after"
    else:
        clips = []
        for sample in _first_by_id(dataset, limit):
            clips.append(dataset.find(sample, fields=("mp4", "txt")))
        about = f"{len(clips)} clips of the dataset's test split"
    if not clips:
        raise ConfigError(f"{path}: the dataset has no test split to compare with")
    return Reference(tuple(_extracted(sample, media) for sample in clips), about)


def _first_by_id(dataset: Dataset, limit: int | None) -> list[str]:
    return sorted(sample.clip_id for sample in dataset.samples(split="test", fields=()))[:limit]


def _extracted(sample: StoredSample, media: Path) -> Video:
    path = media / f"{sample.clip_id}.mp4"
    if not path.exists():
        with atomic(path) as aside:
            aside.write_bytes(sample.data["mp4"])
    return Video(sample.clip_id, path, sample.caption)


def _text(path: Path, texts: Mapping[str, str]) -> str | None:
    return next(_texts_beside(path), texts.get(path.stem))


def _texts_beside(path: Path) -> Iterator[str]:
    plain, sidecar = path.with_suffix(".txt"), path.with_suffix(".json")
    if plain.is_file():
        yield plain.read_text(encoding="utf-8").strip()
    if sidecar.is_file():
        try:
            tree = json.loads(sidecar.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{sidecar}: not valid JSON ({error}); repair or remove it") from error
        yield from (tree[key] for key in TEXT_KEYS if isinstance(tree, dict) and isinstance(tree.get(key), str))
