"""The page for labelling: it writes what is said by key, plays what it shows, and lets nobody else in."""

from __future__ import annotations

import errno
import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demix.calibrate import label_server
from demix.calibrate.label_server import Desk, make_server
from demix.calibrate.labels import read_labels
from demix.report.manifests import Manifests
from tests.report.browser import chromium
from tests.report.fake import Fake


@contextmanager
def serving(fake: Fake, labels: Path) -> Iterator[tuple[Desk, int]]:
    desk = Desk(Manifests(fake.dataset), labels, str(fake.work))
    server = make_server(desk)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield desk, server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(port: int, method: str, path: str, body: str = "", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body or None, named)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def raw(port: int, request: bytes) -> int:
    """The status of the answer to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(request)
        return int(connection.makefile("rb").readline().split()[1])


def secret(port: int) -> str:
    page = ask(port, "GET", "/")[2].decode()
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)
    assert data
    return str(json.loads(data[1])["secret"])


def test_only_its_own_page_may_label(fake: Fake, tmp_path: Path) -> None:
    """Another page in the same browser can send to this address, but knows no secret; a bent name is not ours."""
    with serving(fake, tmp_path / "labels.csv") as (desk, port):
        clip = next(iter(desk.clips))
        body = json.dumps({"clip": clip, "label": "bad"})
        assert ask(port, "POST", "/label", body)[0] == 403
        assert ask(port, "POST", "/label", body, X_Demix_Secret="guess")[0] == 403
        assert ask(port, "POST", "/label", body, X_Demix_Secret=secret(port), Host="films.example")[0] == 403
        assert ask(port, "GET", "/", Host="films.example:80")[0] == 403
        assert not desk.path.exists()
        assert ask(port, "POST", "/label", body, X_Demix_Secret=secret(port))[0] == 200
    assert read_labels(tmp_path / "labels.csv") == {clip: "bad"}


@pytest.mark.parametrize(
    "body", ["", "[]", "{", '{"clip": "ffffffffffffffff", "label": "good"}', '{"clip": "CLIP", "label": "=1+1"}']
)
def test_nothing_but_labels_of_its_clips_is_written(fake: Fake, tmp_path: Path, body: str) -> None:
    with serving(fake, tmp_path / "labels.csv") as (desk, port):
        text = body.replace("CLIP", next(iter(desk.clips)))
        assert ask(port, "POST", "/label", text, X_Demix_Secret=secret(port))[0] == 400
        assert not desk.path.exists()


SECRET = b"X-Demix-Secret: "
MALFORMED = {
    "secret that is no ASCII": SECRET + b"\xc3\xa9\xff\r\nContent-Length: 2\r\n\r\n{}",
    "negative length": b"Content-Length: -1\r\n\r\n",
    "length with a sign": b"Content-Length: +2\r\n\r\n{}",
    "length in other digits": "Content-Length: \u0662\r\n\r\n{}".encode(),
    "length that is a word": b"Content-Length: two\r\n\r\n{}",
    "length beyond all bounds": b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    "two lengths": b"Content-Length: 2, 2\r\n\r\n{}",
    "no length": b"\r\n",
    "in chunks": b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a long header": b"X: " + b"x" * 70_000 + b"\r\n\r\n",
    "many headers": b"X: x\r\n" * 200 + b"\r\n",
    "headers without a colon": b"nonsense\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("rest", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request_is_answered(
    fake: Fake, tmp_path: Path, rest: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(fake, tmp_path / "labels.csv") as (desk, port):
        status = raw(port, f"POST /label HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n".encode() + rest)
        assert 400 <= status < 500
        assert ask(port, "GET", "/")[0] == 200
        assert not desk.path.exists()
    assert capfd.readouterr().err == ""


BODIES = [
    "null",
    "1e999",
    "NaN",
    "[" * 4000,
    '{"clip": "\\ud800", "label": "good"}',
    "\xff",
    '{"clip": {}, "label": []}',
]


@pytest.mark.parametrize("body", BODIES)
def test_a_malformed_label_is_answered(
    fake: Fake, tmp_path: Path, body: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(fake, tmp_path / "labels.csv") as (desk, port):
        sent = body.encode("latin-1")
        head = f"POST /label HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(sent)}\r\n".encode()
        assert raw(port, head + SECRET + secret(port).encode() + b"\r\n\r\n" + sent) == 400
        assert not desk.path.exists()
    assert capfd.readouterr().err == ""


def test_a_full_disk_is_said_to_the_page(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(label_server, "write_labels", full)
    with serving(fake, tmp_path / "labels.csv") as (desk, port):
        body = json.dumps({"clip": next(iter(desk.clips)), "label": "bad"})
        status, _, said = ask(port, "POST", "/label", body, X_Demix_Secret=secret(port))
        assert (status, b"No space left" in said) == (507, True)


@pytest.mark.parametrize("wanted", ["bytes=9-3", "bytes=-", "bytes=x-", "bytes=" + "9" * 5000 + "-", "\u0661"])
def test_a_malformed_range_is_answered(fake: Fake, tmp_path: Path, wanted: str) -> None:
    with serving(fake, tmp_path / "labels.csv") as (desk, port):
        head = f"GET /media/{next(iter(desk.clips))}/mp4 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nRange: {wanted}\r\n\r\n"
        assert raw(port, head.encode()) in (200, 416)


@pytest.mark.parametrize("path", ["/../build.json", "/media/0123456789abcdef/mp4", "/media/x", "/label", "/labels.csv"])
def test_nothing_but_the_page_and_media_is_served(fake: Fake, tmp_path: Path, path: str) -> None:
    with serving(fake, tmp_path / "labels.csv") as (_, port):
        assert ask(port, "GET", path)[0] == 404


def test_media_are_served_whole_and_in_parts(fake: Fake, tmp_path: Path) -> None:
    with serving(fake, tmp_path / "labels.csv") as (desk, port):
        path = f"/media/{next(iter(desk.clips))}/mp4"
        status, headers, whole = ask(port, "GET", path)
        assert (status, headers["Content-Type"], whole[4:8]) == (200, "video/mp4", b"ftyp")
        status, headers, part = ask(port, "GET", path, Range="bytes=10-19")
        assert (status, part, headers["Content-Range"]) == (206, whole[10:20], f"bytes 10-19/{len(whole)}")
        assert ask(port, "GET", path, Range=f"bytes={len(whole) - 3}-")[2] == whole[-3:]


def test_dropped_clips_are_shown_among_the_kept_and_nothing_tells_which_is_which(fake: Fake, tmp_path: Path) -> None:
    desk = Desk(Manifests(fake.dataset), tmp_path / "labels.csv", str(fake.work))
    outcomes = [clip.outcome for clip in desk.clips.values()]
    assert {"kept", "dropped"} <= set(outcomes)
    assert outcomes != sorted(outcomes)
    assert {key for card in desk.cards() for key in card} == {"id", "name", "kind", "stems", "label", "scores"}


def test_labels_are_given_by_key_and_survive_a_new_start(fake: Fake, tmp_path: Path) -> None:
    """In a browser: keys label and move on, stems sound beside the muted picture, strangers' names stay text."""
    labels = tmp_path / "labels.csv"
    press = "document.dispatchEvent(new KeyboardEvent('keydown', {key: KEY}))"
    with chromium(tmp_path / "profile") as browser, serving(fake, labels) as (desk, port):
        browser.load(f"http://127.0.0.1:{port}/")
        first, second = list(desk.clips)[:2]
        for key in ("g", "b", "ArrowLeft", "u"):
            browser.evaluate(press.replace("KEY", repr(key)))
        browser.evaluate("written")
        assert read_labels(labels) == {first: "good"}
        assert browser.evaluate("document.querySelector('video').getAttribute('src')") == f"/media/{second}/mp4"
        # A clip with stems: its speech sounds, the picture runs muted beside it.
        playable = next(n for n, clip in enumerate(desk.clips.values()) if "demixing" in clip.records and n > 1)
        for _ in range(playable - 1):
            browser.evaluate(press.replace("KEY", "'ArrowRight'"))
        browser.evaluate(press.replace("KEY", "'2'"))
        assert browser.evaluate(
            """(async () => { const video = document.querySelector("video"), audio = document.querySelector("audio");
            await video.play(); await new Promise(done => audio.addEventListener("timeupdate", done));
            return [video.muted, video.videoWidth > 0, audio.paused, audio.duration > 3]; })()"""
        ) == [True, True, False, True]
        strange = next(n for n, card in enumerate(desk.cards()) if "onerror" in card["name"])
        browser.evaluate(f"show({strange})")
        assert browser.evaluate("document.querySelector('#name').textContent.includes('<img src=x onerror=')")
        assert browser.evaluate("document.images.length") == 0
        assert browser.evaluate("document.title") == "Label clips"
        assert [error for error in browser.errors if "favicon" not in error] == []
    assert Desk(Manifests(fake.dataset), labels, str(fake.work)).labels == {first: "good"}


def test_what_the_page_shows_is_what_was_written_also_where_a_label_was_not(fake: Fake, tmp_path: Path) -> None:
    """The first label is lost on its way. One given after it stands; where there is none, the clip has none again."""
    lose = "window.fetch = (send => (...sent) => { window.fetch = send; return Promise.reject(Error('lost')); })(fetch)"
    labels = tmp_path / "labels.csv"
    with chromium(tmp_path / "profile") as browser, serving(fake, labels) as (desk, port):
        browser.load(f"http://127.0.0.1:{port}/")
        first = next(iter(desk.clips))
        browser.evaluate(f"{lose}; label('bad'); show(0); label('good')")
        browser.evaluate("written")
        assert read_labels(labels) == {first: "good"}
        assert browser.evaluate("clips[0].label") == "good"
        browser.evaluate(f"show(0); {lose}; label('bad')")
        browser.evaluate("written")
        assert read_labels(labels) == {first: "good"}
        assert browser.evaluate("clips[0].label") == "good"
        assert "was not written: lost" in browser.evaluate("trouble.textContent")
