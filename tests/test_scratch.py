"""Temporary folders do not outlive who made them, even if that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demix.scratch import claim, remove_deserted, scratch, temporary_folder

HOLDER = """
import sys, time
from demix.scratch import scratch, temporary_folder
with scratch(), temporary_folder() as folder:
    open(folder + "/half a clip", "w").close()
    print(folder, flush=True)
    time.sleep(100)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@contextmanager
def holder() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process in the middle of its work, and the folder that it is writing in."""
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def test_what_a_killed_process_left_is_removed_by_the_next(temporary: Path) -> None:
    with holder() as (process, folder):
        assert (folder / "half a clip").exists()
        assert temporary in folder.parents
        with scratch():
            assert folder.exists(), "somebody works in it"
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert folder.exists()
        with scratch(), temporary_folder() as mine:
            assert not folder.exists()
            assert len(list(temporary.iterdir())) == 1
            assert temporary in Path(mine).parents
    assert not list(temporary.iterdir())


def test_folders_of_others_stay(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What merely has such a name, what is a link, and what is in use here."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    descriptor = claim(elsewhere)
    assert descriptor is not None
    os.close(descriptor)
    (temporary / "demix-cache").mkdir()
    (temporary / "demix-link").symlink_to(elsewhere)
    with scratch():
        names = {path.name for path in temporary.iterdir()}
        remove_deserted(temporary.iterdir())
        assert names == {path.name for path in temporary.iterdir()}
    assert {path.name for path in temporary.iterdir()} == {"demix-cache", "demix-link"}
    assert elsewhere.exists()


def test_torch_makes_no_folder_of_its_own_beside_it(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    with scratch():
        assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).parent.parent == temporary
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/mine")
    with scratch():
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/mine"
