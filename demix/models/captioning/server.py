"""A captioner behind an OpenAI-compatible server, such as vLLM or SGLang, wherever it runs."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np
import requests

from demix.lazy_module import lazy_module
from demix.models.captioning import Description, Scene
from demix.models.captioning.conversation import Said, answered
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


class ServerCaptioner:
    """A `Captioner`. Frames travel as JPEG, the answer is a JSON object (`demix.models.captioning.question`)."""

    name: ClassVar[str] = "server"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "that of the served model (Qwen3-VL, LLaVA-Video: Apache-2.0)"
    resources: ClassVar[Resources] = Resources(cpus=0.5, pool="caption_server")

    @classmethod
    def weights(cls, settings: ServerSettings) -> tuple[str, ...]:
        return ()

    def __init__(self, settings: ServerSettings, device: str = "auto", threads: int = 1):
        cv2.setNumThreads(threads)
        self.settings = settings
        self.url = f"{settings.address.rstrip('/')}/chat/completions"
        key = os.environ.get(KEY)
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.known: dict[str, Description] = {}

    def describe(self, scenes: list[Scene]) -> list[Description]:
        """See `Captioner`. Raises `ServiceBusy` (worth another attempt) or `ServiceRefused` if any question fails;
        the answers to the others are kept for when they are asked again."""
        with ThreadPoolExecutor(self.settings.concurrency) as pool:
            under_way = [pool.submit(self._describe, scene) for scene in scenes]
        answers = [each.result() for each in under_way]
        for digest, _ in answers:
            self.known.pop(digest, None)
        return [description for _, description in answers]

    def _describe(self, scene: Scene) -> tuple[str, Description]:
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
        """What the model says. Asks again where that may help; raises as `describe` does."""
        body: dict[str, Any] = {
            "model": self.settings.served_model,
            "messages": messages,
            "temperature": 0,
            "seed": 0,
            "max_tokens": self.settings.max_tokens,
        }
        attempt = 0
        while True:
            wait = min(2.0**attempt, LONGEST_WAIT)
            try:
                reply = requests.post(self.url, json=body, headers=self.headers, timeout=self.settings.timeout_seconds)
            except requests.RequestException as error:
                problem = failure("caption server", None, type(error).__name__)
            else:
                if reply.status_code == 200:
                    return _said(reply)
                problem = failure("caption server", reply.status_code, reply.text)
                asked = reply.headers.get("Retry-After", "")
                wait = min(float(asked), LONGEST_WAIT) if asked.replace(".", "", 1).isdigit() else wait
            if not isinstance(problem, ServiceBusy) or attempt == self.settings.retries:
                raise problem
            attempt += 1
            time.sleep(wait)


def _said(reply: requests.Response) -> str:
    try:
        said = reply.json()["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ServiceBusy(f"caption server: an answer that makes no sense ({reply.text[:100]!r})") from error
    if not isinstance(said, str):
        raise ServiceBusy(f"caption server: an answer without text ({reply.text[:100]!r})")
    return said


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
