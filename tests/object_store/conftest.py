from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
import s3fs

from tests.build import cheap
from tests.films import Music, Shot, Speech, View, make_film
from tests.object_store.server import object_store

SHOTS = (
    Shot("admiral", 4.2, View(0.52, 0.38, 0.9), View(0.52, 0.38, 0.88), speech=(Speech("admiral", 3, at=0.5),)),
    Shot("rocket", 2.6, View(0.5, 0.7, 0.6), View(0.5, 0.6, 0.75), music=Music(1)),
)

KEYS = {"AWS_ACCESS_KEY_ID": "loopback", "AWS_SECRET_ACCESS_KEY": "loopback-secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of an S3 on this machine."""
    with object_store() as address:
        yield address


@pytest.fixture
def endpoint(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """Has this process and its children use that S3, as a person would: by the environment."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": server}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    s3fs.S3FileSystem.clear_instance_cache()
    yield monkeypatch
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(endpoint: pytest.MonkeyPatch) -> str:
    """`s3://` and the name of a new bucket."""
    name = f"demix-{uuid.uuid4().hex[:12]}"
    fsspec.filesystem("s3").mkdir(name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a film of two shots and with a file that is no film."""
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "film.mp4", SHOTS, size=(160, 120), seed=1)
    (folder / "playlist.mp4").write_bytes(b"#EXTM3U\n#EXTINF:10,\n/etc/passwd\n")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cheap_models() -> None:
    cheap.register()
