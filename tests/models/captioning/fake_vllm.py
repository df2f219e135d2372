"""What `python -m vllm.entrypoints.openai.api_server` is to the tests: a caption server that misbehaves as it is told.

It stands in for the interpreter of an environment (`environment`), is told by a folder (`FAKE_VLLM`) what to do, and
notes there every start and every question. Files in the folder:

    start      seconds until it answers, or `die`: it ends instead
    slow       seconds that an answer takes
    poison     text of a question at which it ends, as with an error in native code
    hang       it answers nothing any more, not even its health, once; the file goes
    fail       so many questions are answered with status 500; counts down
    garble     so many answers are no JSON; counts down
    swap       so many pairs of answers are exchanged; counts down
    child      it starts a process that outlives it
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any


def environment(folder: Path) -> Path:
    """Makes `folder` look like an environment with a caption server; returns the folder that tells it what to do."""
    (folder / "bin").mkdir(parents=True)
    told = folder / "told"
    told.mkdir()
    python = folder / "bin" / "python"
    python.write_text(f"#!/bin/sh\nFAKE_VLLM='{told}' exec '{sys.executable}' '{__file__}' \"$@\"\n")
    python.chmod(0o755)
    return told


def lines(told: Path, name: str) -> list[str]:
    """What it has noted: of `starts` the numbers of its processes, of `questions` their texts, of `at_once`
    how many were under way."""
    return (told / name).read_text().splitlines() if (told / name).exists() else []


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, told: Path, port: int, key: str, model: str):
        super().__init__(("127.0.0.1", port), _Handler)
        self.told, self.key, self.model = told, key, model
        self.lock = threading.Lock()
        self.waiting: tuple[threading.Event, dict[str, str]] | None = None
        self.under_way = 0

    def counted(self, name: str) -> bool:
        """Whether a file says that this answer is to be spoilt; it counts down."""
        with self.lock:
            left = int((self.told / name).read_text()) if (self.told / name).exists() else 0
            if left:
                (self.told / name).write_text(str(left - 1))
            return left > 0

    def swapped(self, mine: dict[str, str]) -> dict[str, str]:
        """The answer of another question that is under way, which gets this one."""
        with self.lock:
            other, self.waiting = self.waiting, None
            if other is None:
                event = threading.Event()
                self.waiting = (event, mine)
        if other is None:
            if not event.wait(5):
                with self.lock:
                    self.waiting = None
            return mine
        theirs = dict(other[1])
        other[1].update(mine)
        other[0].set()
        return theirs


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self._may():
            self._reply(200, {"data": [{"id": self.server.model}]})

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._may():
            return
        text = body["messages"][0]["content"][-1]["text"]
        told = server.told
        with server.lock:
            server.under_way += 1
            for name, line in (("questions", text.splitlines()[0]), ("at_once", server.under_way)):
                with open(told / name, "a") as file:
                    file.write(f"{line}\n")
        try:
            time.sleep(float((told / "slow").read_text()) if (told / "slow").exists() else 0)
            if (told / "poison").exists() and (told / "poison").read_text() in text:
                os._exit(139)
            if (told / "hang").exists():
                (told / "hang").unlink(missing_ok=True)
                server.key = ""  # whoever comes is let wait
            self._wait_where_it_hangs()
            status, tree = self._answer(body, text)
        finally:
            with server.lock:
                server.under_way -= 1
        self._reply(status, tree)

    def _answer(self, body: dict[str, Any], text: str) -> tuple[int, Any]:
        if self.server.counted("fail"):
            return 500, {"error": "out of cards"}
        if self.server.counted("garble"):
            return 200, {"choices": "<html>"}
        seconds = text.split("lasts for ")[1].split(" ")[0]
        mine = {"name": self.headers["X-Request-Id"], "scene": f"It lasts {seconds}."}
        if self.server.counted("swap"):
            mine = self.server.swapped(mine)
        persons = ["a woman in red"] * text.count("Person1")
        content = json.dumps({"persons": persons[:1], "scene": mine["scene"]})
        reply = {"id": f"chatcmpl-{mine['name']}", "model": body["model"]}
        return 200, {**reply, "choices": [{"message": {"role": "assistant", "content": content}}]}

    def _wait_where_it_hangs(self) -> None:
        if not self.server.key:
            time.sleep(3600)

    def _may(self) -> bool:
        self._wait_where_it_hangs()
        if self.headers.get("Authorization") == f"Bearer {self.server.key}":
            return True
        self._reply(401, {"error": "no key"})
        return False

    def _reply(self, status: int, tree: Any) -> None:
        content = json.dumps(tree).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


def main() -> None:
    told = Path(os.environ["FAKE_VLLM"])
    options = {word: value for word, value in pairwise(sys.argv) if word.startswith("--")}
    assert sys.argv[1:3] == ["-m", "vllm.entrypoints.openai.api_server"], sys.argv
    with open(told / "starts", "a") as file:
        file.write(f"{os.getpid()}\n")
    if (told / "child").exists():
        child = subprocess.Popen(["sleep", "1000"])
        with open(told / "starts", "a") as file:
            file.write(f"{child.pid}\n")
    start = (told / "start").read_text() if (told / "start").exists() else "0"
    if start == "die":
        print("CUDA error: no card is there", flush=True)
        sys.exit(3)
    time.sleep(float(start))
    port, key = int(options["--port"]), os.environ["VLLM_API_KEY"]
    _Server(told, port, key, options["--served-model-name"]).serve_forever()


if __name__ == "__main__":
    main()
