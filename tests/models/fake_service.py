"""A web service on this machine that answers what it is told to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    status: int = 200
    body: Any = b""
    """Bytes as they are; anything else as JSON."""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """`replies` are given in their order, the last one ever after; or a function from request to reply."""

    def __init__(self, replies: list[Reply] | Callable[[Request], Reply]):
        self.replies = replies
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._running = 0
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            number = len(self.requests)
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
        try:
            if callable(self.replies):
                return self.replies(request)
            return self.replies[min(number, len(self.replies)) - 1]
        finally:
            with self._lock:
                self._running -= 1


@contextmanager
def serving(replies: list[Reply] | Callable[[Request], Reply]) -> Iterator[tuple[str, Service]]:
    """The address of a service on the loopback, and the service."""
    service = Service(replies)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = service.answer(Request(self.path, dict(self.headers), body))
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            """Nothing on the console."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
