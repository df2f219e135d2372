"""Commands at terminals, and a film for them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.build.corpus import ADDRESS
from tests.films import make_film
from tests.terminal.pseudo import Session

Start = Callable[..., Session]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts commands at terminals; Ray's temporary files go to a folder of the test."""
    sessions: list[Session] = []

    def started(*command: str | Path, **more: str) -> Session:
        sessions.append(Session(command, RAY_TMPDIR=str(ray), TMPDIR=str(ray), **more))
        return sessions[-1]

    # Short: the name of a socket has 107 characters.
    ray = Path(f"/tmp/demix-test-{os.getpid()}")
    ray.mkdir()
    try:
        yield started
    finally:
        for session in sessions:
            session.close()
        shutil.rmtree(ray)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "address.mp4"
    make_film(path, ADDRESS, rate=25, size=(240, 180), seed=2)
    return path
