"""The captioning client: what is asked, what answers are accepted, and that failures end as a retry or a quarantine."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demix.models.captioning import Scene
from demix.models.captioning.question import WrongForm, parsed, time_instruction
from demix.models.captioning.server import ServerCaptioner
from demix.models.captioning.settings import ServerSettings
from demix.models.service import ServiceBusy, ServiceClosed, ServiceRefused
from tests.models.fake_service import Reply, Request, serving


def scene(clip_id: str = "clip", persons: int = 1) -> Scene:
    return Scene(
        clip_id=clip_id, frames=np.full((2, 24, 32, 3), 90, np.uint8), times=(0.5, 1.5), seconds=2.0, faces=((), ()),
        persons=persons, speakers=persons, audible=frozenset({"speech"}),
    )  # fmt: skip


def said(text: str) -> Reply:
    return Reply(body={"choices": [{"message": {"role": "assistant", "content": text}}]})


def good(persons: int = 1, text: str = "A street.") -> Reply:
    return said(json.dumps({"persons": ["a woman in red"] * persons, "scene": text}))


def captioner(address: str, **settings: Any) -> ServerCaptioner:
    return ServerCaptioner(ServerSettings(address=f"{address}/v1", **{"retries": 1, "repairs": 1, **settings}))


def test_frames_and_times_are_sent_and_the_answer_is_the_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIX_CAPTION_KEY", "secret")
    with serving([good()]) as (address, service):
        (description,) = captioner(address).describe([scene()])
    assert (description.clip_id, description.persons, description.scene) == ("clip", ("a woman in red",), "A street.")
    (request,) = service.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == "Bearer secret"
    *pictures, text = request.json["messages"][0]["content"]
    assert [picture["image_url"]["url"][:23] for picture in pictures] == ["data:image/jpeg;base64,"] * 2
    assert "located at 0.50s,1.50s." in text["text"]
    assert request.json["temperature"] == 0


def test_captions_reach_their_clips_whatever_order_answers_come_in_and_no_more_are_asked_at_once() -> None:
    names = [f"clip{number}" for number in range(9)]

    def answer(request: Request) -> Reply:
        seconds = request.json["messages"][0]["content"][-1]["text"].split("lasts for ")[1].split(" ")[0]
        time.sleep(0.02 if float(seconds) < 5 else 0.0)
        return good(text=f"It lasts {seconds}.")

    scenes = [Scene(**{**scene(name).__dict__, "seconds": float(number)}) for number, name in enumerate(names)]
    with serving(answer) as (address, service):
        found = captioner(address, concurrency=3).describe(scenes)
    assert [each.clip_id for each in found] == names
    assert [each.scene for each in found] == [f"It lasts {number}.00." for number in range(9)]
    assert service.most_at_once <= 3


def test_a_wrong_form_is_asked_again_with_what_was_wrong() -> None:
    with serving([good(persons=2), good()]) as (address, service):
        assert captioner(address).describe([scene()])[0].persons == ("a woman in red",)
    assert "exactly 1 strings, not 2" in service.requests[1].json["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        ([said("no idea")], ServiceBusy),
        ([Reply(200, b"garbage")], ServiceBusy),
        ([Reply(200, {"choices": []})], ServiceBusy),
        ([Reply(500, b"", {"Retry-After": "0"})], ServiceBusy),
        ([Reply(429, b"", {"Retry-After": "0"})], ServiceBusy),
        ([Reply(401, b"who are you")], ServiceClosed),
        ([Reply(400, b"too long")], ServiceRefused),
    ],
)
def test_failures_are_told_apart(replies: list[Reply], kind: type[Exception]) -> None:
    with serving(replies) as (address, _), pytest.raises(kind):
        captioner(address).describe([scene()])


def test_a_busy_server_is_asked_again() -> None:
    with serving([Reply(503, b"", {"Retry-After": "0"}), good()]) as (address, service):
        assert captioner(address).describe([scene()])
        assert len(service.requests) == 2


def test_when_one_question_fails_the_others_are_not_asked_twice() -> None:
    def answer(request: Request) -> Reply:
        two = "Person2" in request.json["messages"][0]["content"][-1]["text"]
        return Reply(400, b"no") if two else good()

    with serving(answer) as (address, service):
        model = captioner(address)
        with pytest.raises(ServiceRefused):
            model.describe([scene("a"), scene("b", persons=2), scene("c")])
        assert model.describe([scene("a")])[0].clip_id == "a"
        assert model.describe([scene("c")])[0].clip_id == "c"
        assert len(service.requests) == 3


@pytest.mark.parametrize(
    "answer",
    [
        '```json\n{"persons": ["Person1: a man",], "scene": "A room."}\n```',
        'Here it is: {"persons": ["a man"], "scene": "A room."} I hope it helps.',
        '{"persons": ["a man"],\n "scene": "A room.",}',
    ],
)
def test_small_slips_are_repaired(answer: str) -> None:
    description = parsed(answer, scene())
    assert (description.persons, description.scene) == (("a man",), "A room.")


@pytest.mark.parametrize(
    "answer",
    ["", "[]", '{"persons": "a man", "scene": "A room."}', '{"persons": [1], "scene": "x"}', '{"persons": ["a"]}',
     '{"persons": [" "], "scene": "x"}', '{"persons": ["a"], "scene": ""}', '{"persons": ["a"], "scene": "x'],
)  # fmt: skip
def test_other_answers_are_refused(answer: str) -> None:
    with pytest.raises(WrongForm):
        parsed(answer, scene())


def test_the_time_instruction_is_llava_videos(shared_vectors: Path) -> None:
    facts = json.loads((shared_vectors / "llava_video.json").read_text())
    outputs = np.load(shared_vectors / "llava_video.npz")
    rows = [row for row in facts["table"] if "time_instruction" in row]
    assert len(rows) >= 10
    for row in rows:
        times = [float(text.removesuffix("s")) for text in row["frame_time"].split(",")]
        assert len(outputs[f"indices.{row['key']}"]) == row["sampled"] == len(times)
        assert time_instruction(row["video_time"], times) == row["time_instruction"]
