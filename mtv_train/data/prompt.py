"""The paper's text template (section 4.3), read back: who is there, who speaks, what the scene is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from mtv_train.data.errors import SampleError

_HEAD = re.compile(r"(?P<count>\w+) (?:person )?conversation\. (?:Persons: )?(?P<rest>.*)", re.DOTALL)
_SCENE = "Scene Description:"
_PERSON = re.compile(r"Person(\d+): ")
_SPEAKING = re.compile(r"Person(\d+) is speaking\.")
_RELEASE_HEAD = "No conversation."


@dataclass(frozen=True)
class Prompt:
    """A caption in parts. `speaking` are 0-based indices into `persons`, the appearances of who takes part."""

    persons: tuple[str, ...]
    speaking: tuple[int, ...]
    scene: str


def parse(caption: str) -> Prompt:
    """The parts of a caption. A text that does not follow the template is all scene: training data come with all kinds
    of captions, and each is a valid prompt."""
    head = _HEAD.fullmatch(caption)
    if head is None or _SCENE not in head["rest"]:
        return Prompt((), (), caption)
    people, _, scene = head["rest"].partition(_SCENE)
    persons, speaking = _people(people)
    return Prompt(persons, speaking, scene.strip())


def _people(text: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Appearances and who speaks, from "Person1: a woman. Person2: a man. Person1 is speaking."."""
    first = _SPEAKING.search(text)
    described = text[: first.start()] if first else text
    # Numbers must count up from 1: a description may itself contain "Person1: " by accident only then.
    starts, wanted = [], 1
    for found in _PERSON.finditer(described):
        if int(found[1]) == wanted:
            starts.append(found)
            wanted += 1
    ends = [*(start.start() for start in starts[1:]), len(described)]
    persons = tuple(described[start.end() : end].strip() for start, end in zip(starts, ends, strict=bool(starts)))
    named = {int(found[1]) - 1 for found in _SPEAKING.finditer(text)}
    return persons, tuple(sorted(index for index in named if index < len(persons)))


def decoded_caption(key: str, data: bytes) -> str:
    """The text of a member `txt`. Raises SampleError (`caption`) where it is not UTF-8."""
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        why = f"byte {error.start + 1} is 0x{data[error.start]:02x}"
        raise SampleError(key, "caption", f"its caption is not UTF-8 ({why}); save the .txt as UTF-8") from error


def prompt_text(caption: str, style: Literal["paper", "release"]) -> str:
    """What the text encoder is given. The two styles differ where nobody speaks: the paper gives the scene alone, the
    release puts "No conversation. Scene Description:" before it."""
    parsed = parse(caption)
    if parsed.speaking:
        return caption
    if style == "paper":
        return parsed.scene if caption.startswith(_RELEASE_HEAD) else caption
    return caption if caption.startswith(_RELEASE_HEAD) else f"{_RELEASE_HEAD} {_SCENE} {caption}"
