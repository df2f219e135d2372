"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# One thread a process: the suite runs on two cores, and thread pools of several libraries would fight for them.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """Folder of real recordings with known truth; not part of the project, so tests that want it may skip."""
    folder = Path(os.environ.get("DEMIX_SHARED", Path(__file__).parents[2] / "shared")) / "media"
    if not folder.is_dir():
        pytest.skip(f"real test recordings are not here ({folder}); set DEMIX_SHARED to the folder that holds media/")
    return folder
