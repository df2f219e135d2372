"""Fixtures: a work store with tiny clips."""

from __future__ import annotations

from pathlib import Path

import pytest

from demix.store import Store
from tests.dataset.making import Maker


@pytest.fixture(scope="session")
def video_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("video")


@pytest.fixture
def maker(tmp_path: Path, video_folder: Path) -> Maker:
    return Maker(Store(tmp_path / "work"), video_folder)
