"""Guards that credentials in the addresses of films reach nothing that a build leaves behind or prints."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest

from demix import redact
from tests.build import cheap
from tests.build.running import demix, rows

SECRET = "s3cr3t-Qx9"
OPTIONS = ("--runner", "sequential", *cheap.OPTIONS)


class Guarded(SimpleHTTPRequestHandler):
    """Gives a file to whoever brings the signature or the password."""

    def do_GET(self) -> None:
        self._guard(super().do_GET)

    def do_HEAD(self) -> None:
        self._guard(super().do_HEAD)

    def _guard(self, answer: Any) -> None:
        if f"X-Amz-Signature={SECRET}" in self.path or self.headers.get("Authorization", "").startswith("Basic "):
            with suppress(ConnectionError):  # whoever asks may have read enough
                answer()
        else:
            self.send_error(403)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Guarded, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def text_of(path: Path) -> str:
    """All that a file says, parquet's compressed columns included."""
    if path.suffix == ".parquet":
        return json.dumps(pq.read_table(path).to_pylist(), default=str)
    return path.read_bytes().decode("utf-8", "replace")


def leaks(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    return [str(path.relative_to(folder)) for path in files if SECRET in text_of(path) or SECRET in str(path)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DEMIX_STORE_SECONDS", "0")


def test_nothing_that_a_build_leaves_or_says_holds_a_credential(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A film by a signed address; in a manifest, with a password, a file that is no film and one that is gone."""
    data = tmp_path / "dataset"
    with served(films) as host:
        signed = f"http://{host}/film.mp4?X-Amz-Signature={SECRET}&X-Amz-Credential={SECRET}"
        manifest = tmp_path / "films.csv"
        listed = [f"http://reader:{SECRET}@{host}/{name}.mp4,web" for name in ("playlist", "gone")]
        manifest.write_text("\n".join(["uri,kind", *listed]))
        ran = demix("build", signed, manifest, "--output", data, *OPTIONS, "--keep-work")
        assert ran.status == 0, ran.err
        assert SECRET not in ran.out + ran.err
        assert leaks(data) == []
        assert len(rows(data, "clips")) == 2
        assert rows(data, "sources")[0]["uri"].startswith("http"), "the address without its secrets stays"

        # The same command goes on; one that is not given the addresses says so.
        again = demix("build", signed, manifest, "--output", data, *OPTIONS, "--keep-work")
        assert (again.status, "nothing was left to do" in again.out) == (0, True), again.out + again.err
        [failed] = [row for row in rows(data, "quarantine") if "gone" in row["uri"]]
        assert "***@" in failed["uri"]
        known = dict(redact._known)
        for knows in (known, {}):  # as in the process that built it, and in another
            monkeypatch.setattr(redact, "_known", dict(knows))
            replay = demix(*shlex.split(failed["replay"])[1:])
            assert replay.status != 0
            assert SECRET not in replay.out + replay.err
        assert "credentials" in replay.out + replay.err, "another process says that it lacks them"
        for clip in rows(data, "clips"):
            shown = demix("show", clip["clip_id"], "--output", data)
            assert (shown.status, SECRET in shown.out) == (0, False)
    assert leaks(data) == []


def test_a_remote_work_store_holds_the_log_of_what_failed(films: Path, bucket: str, tmp_path: Path) -> None:
    files = fsspec.filesystem("s3", use_listings_cache=False)
    with served(films) as host:
        manifest = tmp_path / "films.csv"
        manifest.write_text(f"uri,kind\nhttp://reader:{SECRET}@{host}/gone.mp4,web\n")
        ran = demix("build", films, manifest, "--output", f"{bucket}/demix", *OPTIONS, "--keep-work")
        assert ran.status == 0, ran.err
    kept = files.find(f"{bucket}/demix")
    assert not [name for name in kept if SECRET.encode() in files.cat_file(name)]
    logs = [name for name in kept if "/.work/logs/" in name]
    events = [json.loads(line) for name in logs for line in files.cat_file(name).decode().splitlines()]
    assert any("gone.mp4" in json.dumps(event) for event in events), events
