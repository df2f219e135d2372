"""An HTTP server on this machine that serves bytes as a release page does: ranges, ETags, and the usual troubles."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served, and what went over the wire."""

    files: dict[str, bytes]
    cut_after: list[int] = field(default_factory=list)
    """For one answer each: bytes after which the connection is dropped."""
    busy: list[tuple[int, str]] = field(default_factory=list)
    """For one answer each: a status and a Retry-After instead of the file."""
    kind: str = "application/octet-stream"
    ranges: bool = True
    redirect_to: str = ""
    """Address below which the files lie really."""
    requests: list[dict[str, str]] = field(default_factory=list)
    """Headers of every request, by lower-case name."""
    address: str = ""


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.requests.append({name.lower(): value for name, value in self.headers.items()})
            self.close_connection = True
            if site.busy:
                status, wait = site.busy.pop(0)
                self.answer(status, b"", {"Retry-After": wait} if wait else {})
            elif site.redirect_to:
                self.answer(302, b"", {"Location": site.redirect_to + self.path})
            elif self.path not in site.files:
                self.answer(404, b"", {})
            else:
                self.serve(site.files[self.path])

        def serve(self, content: bytes) -> None:
            etag = f'"{hash(content)}"'
            start = 0
            asked = self.headers.get("Range")
            if asked and site.ranges and self.headers.get("If-Range") in (None, etag):
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content) > 0:
                self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            headers = {"ETag": etag}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.answer(206 if start else 200, content[start:], headers)

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body)), "Content-Type": site.kind}.items():
                self.send_header(name, value)
            self.end_headers()
            if body and site.cut_after:
                body = body[: site.cut_after.pop(0)]
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
