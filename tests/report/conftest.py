from __future__ import annotations

from pathlib import Path

import pytest

from demix.report import write_report
from tests.report.fake import Fake, make_dataset, timings


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Fake:
    """A made-up dataset with media; tests must not change it."""
    return make_dataset(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def page(fake: Fake) -> Path:
    """Its report, one sample a group."""
    return Path(write_report(fake.dataset, work=fake.work, timings=timings(), samples_per_group=1))
