"""One small corpus and one build of it with the real models, for all tests of the builder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.build import cheap
from tests.build.corpus import KINDS, make_broken, make_films, write_manifest
from tests.build.running import SEQUENTIAL, Ran, demix
from tests.films import FilmTruth


@dataclass(frozen=True)
class Corpus:
    folder: Path
    manifest: Path
    films: dict[str, FilmTruth]
    broken: dict[str, str]
    """name -> status and reason with which it must end"""
    stems: Path

    @property
    def good(self) -> Path:
        return self.folder / "good"


@dataclass(frozen=True)
class Built:
    """`demix build` of a corpus, with its media kept."""

    corpus: Corpus
    dataset: Path
    ran: Ran

    @property
    def work(self) -> Path:
        return self.dataset / ".work"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    root = tmp_path_factory.mktemp("corpus")
    films = make_films(root / "films/good", root / "stems")
    broken = make_broken(root / "films/broken", root / "films/good/address.mp4")
    return Corpus(root / "films", write_manifest(root / "films", KINDS), films, broken, root / "stems")


@pytest.fixture(scope="session", autouse=True)
def cheap_models() -> None:
    cheap.register()


@pytest.fixture(scope="session")
def built(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Built:
    dataset = tmp_path_factory.mktemp("built") / "dataset"
    ran = demix("build", corpus.manifest, "--output", dataset, "--keep-work", *SEQUENTIAL)
    return Built(corpus, dataset, ran)


@pytest.fixture(scope="session")
def cheaply_built(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The same with models that cost nothing (see `tests.build.cheap`) and without a gallery."""
    dataset = tmp_path_factory.mktemp("cheap") / "dataset"
    ran = demix("build", corpus.manifest, "--output", dataset, "--keep-work", *SEQUENTIAL, *cheap.OPTIONS)
    return Built(corpus, dataset, ran)
