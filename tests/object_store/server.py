"""An S3 on this machine, and a proxy before it that behaves as stores do on a bad day."""

from __future__ import annotations

import http.client
import logging
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from moto.server import ThreadedMotoServer

FAULTS = ("500", "503", "429", "reset", "cut", "lost")
"""`cut`: half an answer. `lost`: the request is carried out, its answer does not come."""


@contextmanager
def object_store() -> Iterator[str]:
    """The address of an S3 that lives while this is open."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@dataclass
class Weather:
    """What a proxy does. `share` of the requests meet one of `faults`; until `down_until` (monotonic) all get 503."""

    share: float = 0.0
    faults: tuple[str, ...] = FAULTS
    down_until: float = 0.0
    seed: int = 0
    requests: int = 0
    met: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random, self._lock = random.Random(self.seed), threading.Lock()

    def fault(self) -> str:
        """What the next request meets; empty for nothing."""
        with self._lock:
            self.requests += 1
            name = ""
            if time.monotonic() < self.down_until:
                name = "503"
            elif self._random.random() < self.share:
                name = self._random.choice(self.faults)
            if name:
                self.met[name] = self.met.get(name, 0) + 1
            return name


@contextmanager
def proxy(behind: str, weather: Weather) -> Iterator[str]:
    """The address of a proxy before the store at `behind`."""

    class Handler(_Handler):
        pass

    Handler.behind, Handler.weather = behind.removeprefix("http://"), weather
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    behind: str
    weather: Weather
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do(self) -> None:
        body = self._body()
        fault = self.weather.fault()
        if fault in ("500", "503", "429"):
            self._answer(int(fault), {}, b"<Error><Code>SlowDown</Code><Message>a bad day</Message></Error>")
        elif fault == "reset":
            self._reset()
        else:
            status, headers, content = self._ask(body)
            if fault == "lost":
                self._reset()
            elif fault == "cut" and len(content) > 1:
                self._answer(status, headers, content[: len(content) // 2], said=len(content))
                self.close_connection = True
            else:
                self._answer(status, headers, content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do

    def _body(self) -> bytes:
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            content = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.behind, timeout=60)
        headers = {
            k: v for k, v in self.headers.items() if k.lower() not in ("transfer-encoding", "connection", "expect")
        }
        headers["Content-Length"] = str(len(body))
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        content = response.read()
        kept = {k: v for k, v in response.getheaders() if k.lower() not in ("transfer-encoding", "connection")}
        connection.close()
        return response.status, kept, content

    def _answer(self, status: int, headers: dict[str, str], content: bytes, said: int | None = None) -> None:
        self.send_response_only(status)
        if self.command != "HEAD" or "Content-Length" not in headers:
            headers = {**headers, "Content-Length": str(len(content) if said is None else said)}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _reset(self) -> None:
        """Ends the connection with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, ValueError, OSError):  # whoever asked has gone, or was sent away
            self.close_connection = True

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""
