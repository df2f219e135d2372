from __future__ import annotations

from pathlib import Path

import pytest

from demix.calibrate.columns import Columns, columns_of
from demix.report.manifests import Manifests
from tests.report.fake import CONFIG, Fake, make_dataset


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Fake:
    """A made-up dataset with media, and names of strangers that would like to be markup; tests must not change it."""
    return make_dataset(tmp_path_factory.mktemp("calibrate"))


@pytest.fixture(scope="session")
def columns(fake: Fake) -> Columns:
    return columns_of(Manifests(fake.dataset).clips(), CONFIG)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path
