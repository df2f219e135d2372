"""A finished build of the smallest film, made once; every page's commands run on a copy of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from demix import build
from demix.cli import main
from demix.engine import log
from demix.engine.sequential import SequentialRunner
from tests.tiny import make_tiny


@dataclass(frozen=True)
class Place:
    """The folder in which a page's commands run, holding DATASET, which was built from `films`; `clip` is one of it."""

    folder: Path
    films: Path
    clip: str


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("docs")
    make_tiny(folder / "FILMS")
    assert main(["build", str(folder / "FILMS"), "--output", str(folder / "DATASET"), "--runner", "sequential"]) == 0
    clips = pq.read_table(folder / "DATASET/manifests/clips.parquet")["clip_id"].to_pylist()
    return Place(folder, folder / "FILMS", clips[0])


@pytest.fixture
def place(built: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A copy, to which commands may do anything. Builds run in this process: Ray's part is tested with the engine."""
    shutil.copytree(built.folder / "DATASET", tmp_path / "DATASET")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build, "make_runner", lambda settings: SequentialRunner())
    yield Place(tmp_path, built.films, built.clip)
    log.configure(None)
