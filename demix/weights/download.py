"""Downloads that go on where they stopped."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from demix.weights.registry import HUB, WeightsBroken, WeightsMissing

Progress = Callable[[str, int, int | None], None]
"""Hears (file name, bytes there, bytes in all or None)."""
ATTEMPTS = 5
"""Tries in a row that bring not a single byte, before it is given up."""
LONGEST_WAIT = 60.0
_BLOCK = 1 << 20
_TIMEOUT = 60.0
_BUSY = (408, 425, 429, 500, 502, 503, 504)


def download(
    url: str, part: Path, progress: Progress | None = None, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Brings `url` into `part`, going on behind the bytes that an earlier, broken download left there.

    The server's ETag lies beside `part`: if the file changed meanwhile, it is begun anew. Raises `WeightsMissing` when
    the server refuses, has no such file, or stays out of reach.
    """
    url = _on_hub(url)
    fruitless = 0
    while True:
        before = _size(part)
        try:
            if _transfer(url, part, progress):
                part.with_suffix(".etag").unlink(missing_ok=True)
                return
            wait, why = 1.0, "the connection ended early"
        except urllib.error.HTTPError as error:
            if error.code not in _BUSY:
                raise WeightsMissing(f"{url}: the server answered {error.code} {error.reason}") from error
            wait, why = _retry_after(error), f"the server answered {error.code}"
        except (OSError, HTTPException) as error:
            wait, why = 1.0, str(error)
        fruitless = fruitless + 1 if _size(part) <= before else 0
        if fruitless >= ATTEMPTS:
            raise WeightsMissing(f"{url}: cannot be fetched ({why}); give the same command again to go on") from None
        sleep(min(max(wait, 2.0**fruitless - 1), LONGEST_WAIT))


def _transfer(url: str, part: Path, progress: Progress | None) -> bool:
    """One request; True if the file is whole now."""
    start = _size(part)
    etag = part.with_suffix(".etag")
    request = urllib.request.Request(url, headers={"User-Agent": "demix", "Accept-Encoding": "identity"})
    if token := _token(url):
        # Not carried along when the hub redirects to where the bytes lie.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    if start:
        request.add_header("Range", f"bytes={start}-")
        if etag.exists():
            request.add_header("If-Range", etag.read_text(encoding="utf-8"))
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lies behind what is there: it is whole, or it is another file
            if error.headers.get("Content-Range") == f"bytes */{start}":
                return True
            part.unlink()
            return False
        raise
    with response:
        if response.headers.get_content_type() == "text/html":
            raise WeightsBroken(f"{url}: answers with a web page, not with a file; fetch it by hand")
        resumed = response.status == 206
        start = start if resumed else 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length is not None else None
        etag.write_text(response.headers.get("ETag", ""), encoding="utf-8")
        if not response.headers.get("ETag"):
            etag.unlink()
        with part.open("ab" if resumed else "wb") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                start += len(block)
                if progress is not None:
                    progress(urlsplit(url).path.rpartition("/")[2], start, total)
            file.flush()
            os.fsync(file.fileno())
    return total is None or start == total


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _on_hub(url: str) -> str:
    """The address at the hub that HF_ENDPOINT names, for sites with a proxy of their own."""
    return url.replace(HUB, os.environ["HF_ENDPOINT"].rstrip("/"), 1) if "HF_ENDPOINT" in os.environ else url


def _token(url: str) -> str | None:
    hub = os.environ.get("HF_ENDPOINT", HUB)
    return os.environ.get("HF_TOKEN") if urlsplit(url).netloc == urlsplit(hub).netloc else None


def _retry_after(error: urllib.error.HTTPError) -> float:
    """Seconds that the server asks to wait; 1 where it does not say, or says a date."""
    said = error.headers.get("Retry-After", "")
    return float(said) if said.isdigit() else 1.0
