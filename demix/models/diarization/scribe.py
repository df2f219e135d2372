"""ElevenLabs Scribe, the paper's diarizer: a paid transcription service, through its SDK."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ValidationError

from demix.config import ConfigError
from demix.media.audio import mono, resample
from demix.models.diarization import Speech
from demix.models.diarization.settings import ScribeSettings
from demix.models.diarization.words import Word, turns_of
from demix.models.missing import MissingPackage
from demix.models.service import ServiceBusy, ServiceRefused, failure
from demix.stage import Resources
from demix.store import Store

KEY = "ELEVENLABS_API_KEY"
RATE = 16_000
FOLDER = "services/scribe"
"""In the work store: one file per answered question, its name the question's hash and the sound's milliseconds."""
RECOUNT = 20
"""Questions after which the hours spent by all workers are added up again."""


class _Word(BaseModel):
    text: str
    type: str
    start: float | None = None
    end: float | None = None
    speaker_id: str | None = None
    logprob: float | None = None


class _Answer(BaseModel):
    """What is used of an answer; everything else in it is kept but not looked at."""

    words: list[_Word]


class Scribe:
    """A `Diarizer`. Whoever sends sound there hands it to a company: mind what the sources' owners allow.

    Trust the number of speakers and the presence of speech more than exact turns.
    """

    name: ClassVar[str] = "scribe"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "MIT (SDK: elevenlabs); the service under its own terms"
    resources: ClassVar[Resources] = Resources(cpus=0.25, pool="diarization_service")
    remote: ClassVar[bool] = True
    """It is given the work store, to keep what was paid for."""

    @classmethod
    def weights(cls, settings: ScribeSettings) -> tuple[str, ...]:
        return ()

    def __init__(self, settings: ScribeSettings, device: str = "auto", threads: int = 1, *, store: Store):
        key = os.environ.get(KEY)
        if not key:
            raise ConfigError(f"Scribe needs a key: set the environment variable {KEY}, on every node")
        if settings.max_hours is None:
            raise ConfigError(
                "Scribe is paid by the hour of sound: set diarization.scribe.max_hours to the hours that may be sent"
            )
        self.settings, self.store, self.limit = settings, store, settings.max_hours
        self.client = _client(settings, key)
        self.asked = 0
        self.spent = self._hours()
        print(f"Scribe: {self.spent:.2f} h of sound sent so far, limit {self.limit:g} h", file=sys.stderr)

    def diarize(self, wave: np.ndarray, sample_rate: int) -> Speech:
        """See `Diarizer`. Raises `ServiceBusy` (worth another attempt), `ServiceRefused` and `ServiceClosed` (a wrong
        key, no credit: no other question will be answered either)."""
        samples = resample(mono(np.atleast_2d(wave)), sample_rate, RATE)
        sound = np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype("<i2").tobytes()
        if not sound:
            return Speech(turns=(), confidence=1.0)
        words = [word for word in self._answer(sound).words if word.type == "word"]
        timed = [Word(w.start, w.end, w.speaker_id) for w in words if w.start is not None and w.end is not None]
        certainty = [math.exp(min(word.logprob, 0.0)) for word in words if word.logprob is not None]
        return Speech(
            turns=turns_of(timed, self.settings.pause_seconds),
            confidence=round(float(np.mean(certainty)), 4) if certainty else 1.0,
        )

    def _answer(self, sound: bytes) -> _Answer:
        """From the work store if the same was asked before, else from the service, and then kept."""
        key = self._key(sound)
        if self.store.exists(key):
            return _Answer.model_validate_json(self.store.local(key).read_bytes())
        hours = len(sound) / 2 / RATE / 3600
        self._guard(hours)
        tree = self._ask(sound)
        try:
            answer = _Answer.model_validate(tree)
        except ValidationError as error:
            raise ServiceBusy(f"Scribe: an answer that makes no sense ({error.error_count()} problems)") from error
        finally:
            self.spent += hours
        with self.store.write(key) as path:
            path.write_text(json.dumps(tree), encoding="utf-8")
        return answer

    def _key(self, sound: bytes) -> str:
        question = json.dumps([self.settings.service_model, self.settings.max_speakers])
        digest = hashlib.sha256(question.encode() + sound).hexdigest()
        return f"{FOLDER}/{digest[:2]}/{digest}-{len(sound) * 1000 // (2 * RATE)}.json"

    def _hours(self) -> float:
        names = (key.rsplit("-", 1)[-1].removesuffix(".json") for key in self.store.keys(FOLDER))
        return sum(int(name) for name in names if name.isdigit()) / 3_600_000

    def _guard(self, hours: float) -> None:
        if self.asked % RECOUNT == RECOUNT - 1:
            self.spent = max(self.spent, self._hours())
        self.asked += 1
        if self.spent + hours > self.limit:
            raise ServiceRefused(
                f"Scribe: {self.spent:.2f} h of sound were sent, the limit is {self.limit:g} h; raise "
                "diarization.scribe.max_hours and run again with --retry-failed"
            )

    def _ask(self, sound: bytes) -> dict[str, Any]:
        import httpx
        from elevenlabs.core.api_error import ApiError

        limits: dict[str, Any] = (
            {} if self.settings.max_speakers is None else {"num_speakers": self.settings.max_speakers}
        )
        try:
            answer = self.client.speech_to_text.convert(
                model_id=self.settings.service_model,
                file=("clip.pcm", sound, "application/octet-stream"),
                file_format="pcm_s16le_16",
                diarize=True,
                tag_audio_events=True,
                timestamps_granularity="word",
                seed=0,
                temperature=0.0,
                **limits,
                request_options={"max_retries": self.settings.retries},
            )
        except ApiError as error:
            raise failure("Scribe", error.status_code, str(error.body)) from None
        except httpx.HTTPError as error:
            raise failure("Scribe", None, f"{type(error).__name__}: {error}") from None
        return answer.model_dump(mode="json") if isinstance(answer, BaseModel) else {"words": None}


def _client(settings: ScribeSettings, key: str) -> Any:
    try:
        from elevenlabs.client import ElevenLabs
    except ImportError as error:
        raise MissingPackage("scribe", "the package elevenlabs", "paper") from error
    return ElevenLabs(api_key=key, base_url=settings.address, timeout=settings.timeout_seconds)
