"""Downloads go on where they stopped, wait when asked to, and never take an error page or a mixture for the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demix.weights import WeightsBroken, WeightsMissing
from demix.weights.download import ATTEMPTS, download
from tests.weights.server import Site, serving

CONTENT = np.random.default_rng(0).bytes(300_000)


def test_a_broken_download_goes_on_behind_what_is_there(tmp_path: Path) -> None:
    with serving(Site({"/a.bin": CONTENT}, cut_after=[100_000, 50_000])) as site:
        heard: list[tuple[str, int, int | None]] = []
        download(f"{site.address}/a.bin", tmp_path / "part", lambda *told: heard.append(told), sleep=lambda _: None)
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert [request.get("range") for request in site.requests] == [None, "bytes=100000-", "bytes=150000-"]
    assert heard[-1] == ("a.bin", len(CONTENT), len(CONTENT))
    assert not (tmp_path / "part.etag").exists()


def test_a_later_process_goes_on_too(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(CONTENT[:1234])
    with serving(Site({"/a.bin": CONTENT})) as site:
        download(f"{site.address}/a.bin", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert site.requests[0]["range"] == "bytes=1234-"


def test_a_file_that_changed_meanwhile_is_begun_anew(tmp_path: Path) -> None:
    """The server's ETag tells: the two halves are of different files."""
    part = tmp_path / "part"
    with serving(Site({"/a.bin": b"old" + CONTENT}, cut_after=[1000])) as site:
        with pytest.raises(WeightsMissing):
            download(f"{site.address}/a.bin", part, sleep=lambda _: site.busy.append((503, "")))
        assert part.stat().st_size == 1000
        site.busy.clear()
        site.files["/a.bin"] = CONTENT
        download(f"{site.address}/a.bin", part)
    assert part.read_bytes() == CONTENT


def test_a_whole_file_that_was_only_not_renamed_is_kept(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(CONTENT)
    with serving(Site({"/a.bin": CONTENT})) as site:
        download(f"{site.address}/a.bin", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert len(site.requests) == 1


def test_something_longer_than_the_file_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(CONTENT + b"of another file")
    with serving(Site({"/a.bin": CONTENT})) as site:
        download(f"{site.address}/a.bin", tmp_path / "part", sleep=lambda _: None)
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_of_it_again(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(CONTENT[:999])
    with serving(Site({"/a.bin": CONTENT}, ranges=False)) as site:
        download(f"{site.address}/a.bin", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again_after_as_long_as_it_says(tmp_path: Path) -> None:
    waits: list[float] = []
    with serving(Site({"/a.bin": CONTENT}, busy=[(429, "7"), (503, "")])) as site:
        download(f"{site.address}/a.bin", tmp_path / "part", sleep=waits.append)
    assert waits == [7, 3]
    assert (tmp_path / "part").read_bytes() == CONTENT


def test_it_ends_when_nothing_comes(tmp_path: Path) -> None:
    with serving(Site({}, busy=[(500, "")] * 99)) as site, pytest.raises(WeightsMissing, match=r"answered 500.*go on"):
        download(f"{site.address}/a.bin", tmp_path / "part", sleep=lambda _: None)
    assert len(site.requests) == ATTEMPTS


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_not_repeated(tmp_path: Path, status: int) -> None:
    with serving(Site({"/a.bin": CONTENT}, busy=[(status, "")])) as site:
        with pytest.raises(WeightsMissing, match=f"answered {status}"):
            download(f"{site.address}/a.bin", tmp_path / "part")
        assert len(site.requests) == 1


def test_a_web_page_is_not_the_file(tmp_path: Path) -> None:
    """Drives of file sharers answer 200 with a page when they ask for a click."""
    with (
        serving(Site({"/a.bin": b"<html>too large to scan</html>"}, kind="text/html")) as site,
        pytest.raises(WeightsBroken, match="web page"),
    ):
        download(f"{site.address}/a.bin", tmp_path / "part")
    assert not (tmp_path / "part").exists()


def test_the_hub_s_token_goes_to_the_hub_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub redirects to where the bytes lie; that host must not see the token, nor may any other."""
    monkeypatch.setenv("HF_TOKEN", "secret")
    with serving(Site({"/repo/a.bin": CONTENT})) as store, serving(Site({}, redirect_to=store.address)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        download("https://huggingface.co/repo/a.bin", tmp_path / "part")
        download(f"{store.address}/repo/a.bin", tmp_path / "other")
    assert (tmp_path / "part").read_bytes() == CONTENT
    assert hub.requests[0]["authorization"] == "Bearer secret"
    assert len(store.requests) == 2
    assert not any("authorization" in request for request in store.requests)
