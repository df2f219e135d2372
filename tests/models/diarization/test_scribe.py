"""Scribe: what is sent, what an answer becomes, and that no failure of the service costs a clip or a key."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demix.config import ConfigError
from demix.models.diarization.scribe import FOLDER, Scribe
from demix.models.diarization.settings import ScribeSettings
from demix.models.service import ServiceBusy, ServiceClosed, ServiceRefused
from demix.records import Diarization
from demix.stage import Failed, Kept
from demix.stages.diarization import DiarizationSettings, DiarizationStage
from demix.store import Store
from tests.models.fake_service import Reply, serving
from tests.stages.voices_clips import context, make_item

pytest.importorskip("elevenlabs", reason="an optional package")

SECRET = "sk-this-is-the-key"
WAVE = np.random.default_rng(0).normal(0, 0.1, 32_000).astype(np.float32)


def word(text: str, start: float | None, end: float | None, speaker: str | None, kind: str = "word") -> dict[str, Any]:
    return {"text": text, "type": kind, "start": start, "end": end, "speaker_id": speaker, "logprob": -0.1}


ANSWER = {
    "language_code": "eng",
    "language_probability": 0.99,
    "text": "Hello there. Hi.",
    "words": [
        word("Hello", 0.1, 0.4, "speaker_1"),
        word(" ", 0.4, 0.5, "speaker_1", "spacing"),
        word("there.", 0.5, 0.8, "speaker_1"),
        word("(laughs)", 0.8, 1.0, "speaker_0", "audio_event"),
        word("Hi.", 1.2, 1.5, "speaker_0"),
        word("lost", None, None, "speaker_2"),
    ],
}
BUSY = {"Retry-After": "0"}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELEVENLABS_API_KEY", SECRET)
    # The package waits a second or more between attempts.
    monkeypatch.setattr("elevenlabs.core.http_client.time.sleep", lambda seconds: None)


def scribe(folder: Path, address: str, **settings: Any) -> Scribe:
    return Scribe(ScribeSettings(address=address, **{"max_hours": 1.0, "retries": 2, **settings}), store=Store(folder))


def test_words_become_turns_and_the_request_says_what_is_wanted(tmp_path: Path) -> None:
    with serving([Reply(body=ANSWER)]) as (address, service):
        speech = scribe(tmp_path, address, max_speakers=4).diarize(WAVE, 16_000)
    assert [(turn.start_seconds, turn.end_seconds, turn.speaker) for turn in speech.turns] == [
        (0.1, 0.8, 0),
        (1.2, 1.5, 1),
    ]
    assert speech.confidence == pytest.approx(np.exp(-0.1), abs=1e-3)
    (request,) = service.requests
    assert request.path.startswith("/v1/speech-to-text")
    assert {name.lower(): value for name, value in request.headers.items()}["xi-api-key"] == SECRET
    for field in (
        b'"model_id"',
        b"scribe_v2",
        b'"diarize"',
        b'"num_speakers"',
        b"pcm_s16le_16",
        b'"timestamps_granularity"',
    ):
        assert field in request.body
    assert np.clip(np.rint(WAVE * 32_768), -32_768, 32_767).astype("<i2").tobytes() in request.body


def test_the_same_sound_is_paid_for_once_and_the_key_is_written_nowhere(tmp_path: Path) -> None:
    with serving([Reply(body=ANSWER)]) as (address, service):
        first = scribe(tmp_path, address).diarize(WAVE, 16_000)
        again = scribe(tmp_path, address, max_hours=1e-9).diarize(WAVE, 16_000)
        assert first == again
        assert len(service.requests) == 1
        scribe(tmp_path, address).diarize(WAVE[:16_000], 16_000)
        assert len(service.requests) == 2
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert not any(SECRET.encode() in path.read_bytes() for path in files)


def test_a_busy_service_is_asked_again(tmp_path: Path) -> None:
    replies = [Reply(429, {"detail": "slow down"}, BUSY), Reply(500, {"detail": "oops"}, BUSY), Reply(body=ANSWER)]
    with serving(replies) as (address, service):
        assert len(scribe(tmp_path, address).diarize(WAVE, 16_000).turns) == 2
        assert len(service.requests) == 3


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (Reply(401, {"detail": "bad key"}), ServiceClosed, "401; check the key"),
        (Reply(402, {"detail": "no credit"}), ServiceClosed, "402; give the account credit"),
        (Reply(422, {"detail": []}), ServiceRefused, "422"),
        (Reply(429, {"detail": "slow down"}, BUSY), ServiceBusy, "429"),
        (Reply(503, b"<html>", BUSY), ServiceBusy, "503"),
        (Reply(200, b"{ this is no JSON"), ServiceBusy, "Scribe"),
        (Reply(200, {"words": "none"}), ServiceBusy, "makes no sense"),
        (Reply(200, {"text": "and nothing else"}), ServiceBusy, "makes no sense"),
    ],
)
def test_a_failure_is_told_apart(tmp_path: Path, reply: Reply, kind: type[Exception], says: str) -> None:
    with serving([reply]) as (address, _), pytest.raises(kind, match=says) as caught:
        scribe(tmp_path, address, retries=1).diarize(WAVE, 16_000)
    assert SECRET not in str(caught.value)
    assert Store(tmp_path).keys(FOLDER) == []


def test_a_service_that_is_not_there_may_come_back(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(ServiceBusy, match="no answer"):
        scribe(tmp_path, address, retries=0).diarize(WAVE, 16_000)


def test_no_more_hours_are_sent_than_were_allowed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving([Reply(body=ANSWER)]) as (address, service):
        limited = scribe(tmp_path, address, max_hours=3 / 3600)
        limited.diarize(WAVE, 16_000)
        with pytest.raises(ServiceRefused, match="max_hours"):
            limited.diarize(WAVE[::-1], 16_000)
        assert len(service.requests) == 1
        scribe(tmp_path, address, max_hours=3 / 3600)
    said = capsys.readouterr().err
    assert "0.00 h of sound sent so far, limit 0.000833333 h" in said
    with pytest.raises(ConfigError, match="max_hours"):
        Scribe(ScribeSettings(), store=Store(tmp_path))


def test_without_a_key_it_says_which_variable_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ELEVENLABS_API_KEY")
    with pytest.raises(ConfigError, match="ELEVENLABS_API_KEY"):
        Scribe(ScribeSettings(max_hours=1), store=Store(tmp_path))


def test_in_the_engine_a_failing_service_ends_as_a_quarantined_clip_and_spares_its_neighbours(tmp_path: Path) -> None:
    from demix.engine.attempt import run_batch

    replies = [Reply(422, {"detail": "bad"}), Reply(500, b"", BUSY), Reply(body=ANSWER)]
    with serving(replies) as (address, _):
        stage = DiarizationStage(
            DiarizationSettings.model_validate(
                {"model": "scribe", "scribe": {"address": address, "max_hours": 1, "retries": 0}}
            )
        )
        stage.open(context(tmp_path))
        pictures = np.zeros((24, 32, 32, 3), np.uint8)
        waves = np.random.default_rng(1).normal(0, 0.1, (2, 16_000)).astype(np.float32)
        items = [make_item(stage.context, f"clip{n}", pictures, speech=wave) for n, wave in enumerate(waves)]
        answers = [run_batch(stage, [item], max_attempts=3, backoff_seconds=0)[0] for item in items]
    assert isinstance(answers[0].outcome, Failed)
    assert "422" in answers[0].outcome.message
    assert isinstance(answers[1].outcome, Kept)
    assert answers[1].attempts == 2
    record = answers[1].outcome.record
    assert isinstance(record, Diarization)
    assert (record.model, record.speakers) == ("scribe", 1)


def test_a_wrong_key_stops_the_build_with_a_sentence_and_puts_no_clip_into_quarantine(tmp_path: Path) -> None:
    from demix.engine.attempt import run_batch

    with serving([Reply(401, {"detail": "bad key"})]) as (address, service):
        stage = DiarizationStage(
            DiarizationSettings.model_validate(
                {"model": "scribe", "scribe": {"address": address, "max_hours": 1, "retries": 0}}
            )
        )
        stage.open(context(tmp_path))
        wave = np.random.default_rng(1).normal(0, 0.1, 16_000).astype(np.float32)
        items = [make_item(stage.context, f"clip{n}", np.zeros((24, 32, 32, 3), np.uint8), speech=wave) for n in (0, 1)]
        with pytest.raises(ConfigError, match="Scribe: status 401; check the key, then give the same command again"):
            run_batch(stage, items, max_attempts=3, backoff_seconds=0)
    assert len(service.requests) == 1, "the second clip is not even asked about"
