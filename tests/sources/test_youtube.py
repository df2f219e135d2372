"""Downloads of web videos: resumable, journalled, one failure stops nobody. Tried with yt-dlp on a loopback server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from demix.cli import main
from demix.config import ConfigError
from demix.sources.youtube import DownloadSettings, download, journal, options, video_id, wanted
from tests.media import barcode

QUICK = DownloadSettings(sleep_seconds=0, retries=0)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and counts what is asked for."""

    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:
        self.asked.append(self.path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    folder = tmp_path / "web"
    folder.mkdir()
    barcode.make(folder / "one.mp4", [4] * 24, audio_codec="aac")
    handler = type("Counting", (Quiet,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_address[1]}", handler.asked
        found.shutdown()


def test_what_is_there_is_not_asked_for_again(server: tuple[str, list[str]], tmp_path: Path) -> None:
    pytest.importorskip("yt_dlp")
    address, asked = server
    media = tmp_path / "media"
    addresses = [f"{address}/one.mp4", f"{address}/absent.mp4"]
    first = download(addresses, media, QUICK)
    assert (media / first[0].file).stat().st_size > 1000
    assert not first[0].error
    assert "404" in first[1].error
    assert {outcome.url: bool(outcome.error) for outcome in journal(media)} == dict(
        zip(addresses, (False, True), strict=True)
    )
    asked.clear()
    again = download(addresses, media, QUICK)
    assert again[0] == first[0]
    assert not any("one.mp4" in path for path in asked)
    assert any("absent.mp4" in path for path in asked)


def test_the_command_says_what_failed(
    server: tuple[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("yt_dlp")
    address, _ = server
    listed = tmp_path / "list.txt"
    listed.write_text(f"{address}/one.mp4\n{address}/absent.mp4\n")
    assert main(["download", str(listed), "--media", str(tmp_path / "media"), "--sleep", "0"]) == 1
    said = capsys.readouterr()
    assert "1 of 2 videos" in said.out
    assert "absent.mp4" in said.err


def test_addresses_of_all_forms_have_their_id() -> None:
    for text in (
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "https://www.youtube.com/watch?list=x&v=dQw4w9WgXcQ",
        "https://youtu.be/dQw4w9WgXcQ?t=1",
        "https://m.youtube.com/shorts/dQw4w9WgXcQ",
    ):
        assert video_id(text) == "dQw4w9WgXcQ"


def test_a_list_keeps_its_order_and_drops_repeats(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("dQw4w9WgXcQ\nM2Ohb0FAaJU # x\ndQw4w9WgXcQ\n")
    assert [video_id(address) for address in wanted(listed)] == ["dQw4w9WgXcQ", "M2Ohb0FAaJU"]


def test_the_pace_is_what_was_asked_for(tmp_path: Path) -> None:
    told = options(tmp_path, DownloadSettings(rate="500K", height=720))
    assert told["ratelimit"] == 500 * 1024
    assert "height<=720" in told["format"]
    with pytest.raises(ConfigError, match="--rate"):
        options(tmp_path, DownloadSettings(rate="fast"))
