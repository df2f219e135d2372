"""Where everything lies below a dataset's root, as paths relative to it with forward slashes."""

from __future__ import annotations

import re
from typing import Literal, get_args

from demix.records import SUBSETS

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

MEDIA = ("mp4", "speech.flac", "effects.flac", "music.flac")
SPEAKERS = ("speech0.flac", "speech1.flac")
"""What a clip with two speakers has besides, in a dataset with speaker tracks."""
TEXTS = ("txt", "json")
MEMBERS = (*MEDIA, *TEXTS)
"""Fields of a sample in the order in which they lie in the tar; the file is called `<clip_id>.<field>`."""
MEMBERS_OF_TWO = (*MEDIA, *SPEAKERS, *TEXTS)
"""The same for a clip that has speaker tracks."""

SHARDS = "shards"
MANIFESTS = "manifests"
CLIPS = f"{MANIFESTS}/clips.parquet"
SOURCES = f"{MANIFESTS}/sources.parquet"
REJECTS = f"{MANIFESTS}/rejects"
QUARANTINE = f"{MANIFESTS}/quarantine/part-000000.parquet"
MANIFEST_COMMIT = f"{MANIFESTS}/commit.json"

SHARD_SUFFIXES = (".tar", ".parquet", ".commit.json")

_STEM = re.compile(rf"{SHARDS}/(?P<split>[a-z]+)/(?P<signature>[a-z_+]+)/demix-(?P=split)-(?P=signature)-\d{{6,}}")
_ASIDE = re.compile(r"\.[0-9a-f]{32}\.tmp(\..+)?")


def shard_stem(split: Split, signature: str, number: int) -> str:
    """Path of a shard without suffix, e.g. `shards/train/visual_mood/demix-train-visual_mood-000000`.

    Raises ValueError for a split or signature that is not one, because both become folder names.
    """
    if split not in SPLITS:
        raise ValueError(f"{split!r} is not a split; splits are {', '.join(SPLITS)}")
    check_signature(signature)
    return f"{SHARDS}/{split}/{signature}/demix-{split}-{signature}-{number:06d}"


def check_signature(signature: str) -> str:
    """`signature` itself if it is one or more subsets in the order of `SUBSETS`, joined by `+`; else ValueError."""
    names = signature.split("+")
    if not signature or names != [name for name in SUBSETS if name in names]:
        raise ValueError(f"{signature!r} is not a signature: subsets of {SUBSETS} in this order, joined by '+'")
    return signature


def stem_of(path: str) -> str | None:
    """The shard that a file (path relative to the dataset) belongs to, or None if its name is not a shard's."""
    for suffix in SHARD_SUFFIXES:
        stem = path.removesuffix(suffix)
        if stem != path and _STEM.fullmatch(stem):
            return stem
    return None


def is_aside(name: str) -> bool:
    """Whether a file name is that of an unfinished write (see `demix.store.atomic`), left by a killed process."""
    return _ASIDE.fullmatch(name) is not None


def rejects_path(stage: str) -> str:
    """Manifest of what one stage dropped. Raises ValueError for a stage name that would leave the folder."""
    if not re.fullmatch(r"[a-z0-9_]+", stage):
        raise ValueError(f"{stage!r} cannot be a stage's name: only a-z, 0-9 and _ are allowed")
    return f"{REJECTS}/{stage}/part-000000.parquet"
