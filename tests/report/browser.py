"""A headless Chromium, driven over its debugging protocol: what a person would see, asked for in JavaScript."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
)


class Browser:
    """One open page. `errors` holds whatever the console complained of since it was started."""

    def __init__(self, port: int):
        self.errors: list[str] = []
        self._runner = asyncio.Runner()
        self._calls = 0
        self._runner.run(self._connect(port))

    def close(self) -> None:
        self._runner.run(self._session.close())
        self._runner.close()

    def load(self, page: Path | str, width: int = 1280, scheme: str = "light") -> None:
        """Opens a local file, or an address, in a window of `width` pixels that prefers a colour scheme."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        for domain in ("Log", "Runtime", "Page"):
            self._call(f"{domain}.enable", {})
        self._call("Emulation.setDeviceMetricsOverride", metrics)
        self._call("Emulation.setEmulatedMedia", {"features": features})
        address = page if isinstance(page, str) else page.as_uri()
        self._call("Page.navigate", {"url": address}, until="Page.loadEventFired")

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; promises are waited for."""
        arguments = {"expression": script, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        answer = self._call("Runtime.evaluate", arguments)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def upload(self, selector: str, file: Path) -> None:
        """Chooses a file in the first file input that a CSS selector finds."""
        # By object and not by node id: those are void as soon as the page draws itself anew.
        found = self._call("Runtime.evaluate", {"expression": f"document.querySelector({json.dumps(selector)})"})
        given = {"objectId": found["result"]["objectId"], "files": [str(file.absolute())]}
        self._call("DOM.setFileInputFiles", given)

    def _call(self, method: str, parameters: dict[str, Any], until: str = "") -> dict[str, Any]:
        """The result of a call, once the event `until`, if any, has come as well."""
        return self._runner.run(self._talk(method, parameters, until))

    async def _connect(self, port: int) -> None:
        self._session = aiohttp.ClientSession()
        async with self._session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [target for target in await answer.json() if target["type"] == "page"]
        self._socket = await self._session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)

    async def _talk(self, method: str, parameters: dict[str, Any], until: str) -> dict[str, Any]:
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        result: dict[str, Any] | None = None
        while result is None or until:
            message = await asyncio.wait_for(self._socket.receive_json(), 60)
            self._note(message)
            if message.get("id") == self._calls:
                assert "error" not in message, message
                result = message["result"]
            if message.get("method") == until:
                until = ""
        return result

    def _note(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(message["params"]["exceptionDetails"]))
        if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] in ("error", "warning"):
            self.errors.append(message["params"]["entry"]["text"])


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A fresh browser with an empty profile; skips the test where no Chromium is installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium); the page is checked in it")
    command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        browser = Browser(_port(profile, process))
        yield browser
        browser.close()
    finally:
        process.terminate()
        process.wait(30)


def _port(profile: Path, process: subprocess.Popen[bytes]) -> int:
    note = profile / "DevToolsActivePort"
    for _ in range(600):
        if note.exists() and (lines := note.read_text().splitlines()):
            return int(lines[0])
        if process.poll() is not None:
            pytest.skip(f"Chromium does not start here (exit status {process.returncode})")
        time.sleep(0.1)
    raise TimeoutError("Chromium named no debugging port within a minute")
