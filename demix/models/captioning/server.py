"""A captioner behind an OpenAI-compatible server, such as vLLM or SGLang, wherever it runs and whoever starts it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import requests

from demix.lazy_module import lazy_module
from demix.models.captioning import Description, Scene
from demix.models.captioning.conversation import Said, answered
from demix.models.captioning.launched import MISSING, LaunchedServer, interpreter
from demix.models.captioning.question import WrongForm, question
from demix.models.captioning.settings import ServerSettings
from demix.models.service import ServiceBusy, failure
from demix.stage import Resources

cv2: Any = lazy_module("cv2")

KEY = "DEMIX_CAPTION_KEY"
LONGEST_WAIT = 60.0
"""Seconds between two attempts, at most."""
KEPT = 256
"""Answers kept, so that a batch of which one question failed is not asked again as a whole."""
_BATCHES = 4
"""Batches of as many questions as are under way at once that a server is given together."""
_LOSSES = 2
"""Servers that one question may see end before it is given up for now."""


class ServerCaptioner:
    """A `Captioner`. Frames travel as JPEG, the answer is a JSON object (`demix.models.captioning.question`)."""

    name: ClassVar[str] = "server"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "that of the served model (Qwen3-VL, LLaVA-Video: Apache-2.0)"
    lazily: ClassVar[bool] = True

    @classmethod
    def resources(cls, settings: ServerSettings) -> Resources:
        """Of a worker; the GPUs are those of the server that it starts."""
        if settings.start == "none":
            return Resources(cpus=0.5, pool="caption_server")
        return Resources(cpus=1, gpus=settings.launch.gpus, pool="caption_server")

    @classmethod
    def weights(cls, settings: ServerSettings) -> tuple[str, ...]:
        return ()

    @classmethod
    def programs(cls, settings: ServerSettings) -> tuple[tuple[str, str], ...]:
        """Programs that a node must have: (path, what to say without)."""
        if settings.start == "none":
            return ()
        python = interpreter(settings.launch)
        return ((python, MISSING.format(python=python)),)

    @classmethod
    def at_once(cls, settings: ServerSettings) -> int:
        """So many that the server nearly always has as many as it may: it has fewer only when a batch ends."""
        return _BATCHES * settings.concurrency

    def __init__(self, settings: ServerSettings, device: str = "auto", threads: int = 1):
        cv2.setNumThreads(threads)
        self.settings = settings
        self.known: dict[str, Description] = {}
        self._asked = _Asked()
        self._server: LaunchedServer | None = None
        if settings.start != "none":
            self._server = LaunchedServer(settings)
            self._server.up()

    def close(self) -> None:
        """Stops the server, if it is ours."""
        if self._server is not None:
            self._server.close()

    def describe(self, scenes: Sequence[Scene | Callable[[], Scene]]) -> list[Description]:
        """See `Captioner`; scenes that are made when they are needed keep no question of another one waiting. Raises
        `ServiceBusy` (worth another attempt) or `ServiceRefused` if any question fails; the answers to the others are
        kept for when they are asked again."""
        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            under_way = [pool.submit(self._describe, scene) for scene in scenes]
        answers = [each.result() for each in under_way]
        for digest, _ in answers:
            self.known.pop(digest, None)
        return [description for _, description in answers]

    def _describe(self, made: Scene | Callable[[], Scene]) -> tuple[str, Description]:
        scene = made if isinstance(made, Scene) else made()
        pictures = [{"type": "image_url", "image_url": {"url": _picture(frame)}} for frame in scene.frames]
        digest = hashlib.sha256(json.dumps([scene.clip_id, question(scene), pictures]).encode()).hexdigest()
        if digest not in self.known:
            try:
                description = answered(scene, lambda turns: self._ask(messages(turns, pictures)), self.settings.repairs)
            except WrongForm as problem:
                raise ServiceBusy(f"{self.settings.served_model}: {problem}") from problem
            while len(self.known) >= KEPT:
                self.known.pop(next(iter(self.known)))
            self.known[digest] = description
        return digest, self.known[digest]

    def _ask(self, messages: list[dict[str, Any]]) -> str:
        """What the model says. Asks again where that may help; raises as `describe` does, and `MachineTrouble` where a
        server of ours does not come up any more."""
        attempt = losses = 0
        while True:
            start = self._server.up() if self._server else 0
            try:
                with self._asked.one() as name:
                    said = self._answer(messages, name)
                if self._server is not None:
                    self._server.answered()
                return said
            except ServiceBusy as problem:
                if self._server is not None and self._server.lost(start):
                    losses += 1
                    if losses == _LOSSES:
                        raise ServiceBusy(f"caption server: it ended or hung at this question ({problem})") from problem
                    continue
                if attempt == self.settings.retries:
                    raise
                time.sleep(min(2.0**attempt if problem.wait is None else problem.wait, LONGEST_WAIT))
                attempt += 1

    def _answer(self, messages: list[dict[str, Any]], name: str) -> str:
        """One attempt at a question, which goes by a name of its own."""
        body: dict[str, Any] = {
            "model": self.settings.served_model,
            "messages": messages,
            "temperature": 0,
            "seed": 0,
            "max_tokens": self.settings.max_tokens,
        }
        if self.settings.start == "sglang":
            body["rid"] = name
        key = self._server.key if self._server else os.environ.get(KEY)
        headers = {"X-Request-Id": name} | ({"Authorization": f"Bearer {key}"} if key else {})
        url = f"{self._server.url if self._server else self.settings.address.rstrip('/')}/chat/completions"
        try:
            reply = requests.post(url, json=body, headers=headers, timeout=self.settings.timeout_seconds)
        except requests.RequestException as error:
            raise failure("caption server", None, type(error).__name__) from error
        if reply.status_code != 200:
            problem = failure("caption server", reply.status_code, reply.text)
            asked = reply.headers.get("Retry-After", "")
            if isinstance(problem, ServiceBusy) and asked.replace(".", "", 1).isdigit():
                problem.wait = float(asked)
            raise problem
        said, names = _said(reply)
        self._asked.check(name, names)
        return said


class _Asked:
    """The questions that are under way, and whether the server says which of them it answers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._former: deque[str] = deque(maxlen=KEPT)
        self._told = False

    @contextmanager
    def one(self) -> Iterator[str]:
        """The name of one more question."""
        name = uuid.uuid4().hex
        with self._lock:
            self._under_way.add(name)
        try:
            yield name
        finally:
            with self._lock:
                self._under_way.remove(name)
                self._former.append(name)

    def check(self, name: str, said: str) -> None:
        """Raises `ServiceBusy` where an answer that names a question in `said` is that to another one. A server that
        has ever named one is held to it."""
        with self._lock:
            mine = name in said
            another = any(each in said for each in (*self._under_way, *self._former) if each != name)
            if mine and not another:
                self._told = True
            elif another or self._told:
                raise ServiceBusy("caption server: an answer to another question")


def _said(reply: requests.Response) -> tuple[str, str]:
    """What the model says in a reply, and where the reply may name its question."""
    try:
        tree = reply.json()
        said = tree["choices"][0]["message"]["content"]
        names = f"{tree.get('id', '')} {reply.headers.get('X-Request-Id', '')}"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ServiceBusy(f"caption server: an answer that makes no sense ({reply.text[:100]!r})") from error
    if not isinstance(said, str):
        raise ServiceBusy(f"caption server: an answer without text ({reply.text[:100]!r})")
    return said, names


def messages(turns: Sequence[Said], pictures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A conversation as the server wants it: the frames in order, before the text of the first turn."""
    first, *others = turns
    content = [*pictures, {"type": "text", "text": first.text}]
    return [{"role": first.role, "content": content}, *({"role": each.role, "content": each.text} for each in others)]


def _picture(frame: np.ndarray) -> str:
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    if not done:
        raise ValueError(f"a frame of the shape {frame.shape} cannot be encoded")
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"
