"""Fixtures that every room's tests share."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

# One thread a process: the suite runs on two cores, and thread pools of several libraries would fight for them.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# A shell's background job ignores Ctrl-C, one under nohup SIGHUP, and what they start does too; the tests send both.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A store of compiled code for each test process: two that write librosa's at the same moment leave one that crashes.
os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="numba-")
atexit.register(shutil.rmtree, os.environ["NUMBA_CACHE_DIR"], ignore_errors=True)


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """Folder of real recordings with known truth; not part of the project, so tests that want it may skip."""
    return _shared("media", "real test recordings are")


@pytest.fixture(scope="session")
def shared_vectors() -> Path:
    """Folder of outputs of the reference implementations on generated weights, to be met within their tolerance."""
    return _shared("vectors", "the reference implementations' outputs are")


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """Folder of real released weights of small models."""
    return _shared("weights", "real released weights are")


@pytest.fixture(scope="session")
def shared_faults() -> Path:
    """Folder of small films that came out wrong once, with the right outcome."""
    return _shared("faults", "films that came out wrong are")


def _shared(name: str, what: str) -> Path:
    folder = Path(os.environ.get("DEMIX_SHARED", Path(__file__).parents[2] / "shared")) / name
    if not folder.is_dir():
        pytest.skip(f"{what} not here ({folder}); set DEMIX_SHARED to the folder that holds {name}/")
    return folder
