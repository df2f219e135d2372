"""What a vision-language model is asked about a clip, and what its answer must look like. Pure functions."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from demix.models.captioning import Description, Scene

LONGEST = 2000
"""Characters of one description; more is a model that cannot stop."""


class WrongForm(ValueError):
    """An answer that is not of the form asked for; the message tells the model what to change."""


def time_instruction(seconds: float, times: Sequence[float]) -> str:
    """Tells the model when its frames were seen, word for word as LLaVA-Video was trained to read it."""
    located = ",".join(f"{time:.2f}s" for time in times)
    return (
        f"The video lasts for {seconds:.2f} seconds, and {len(times)} frames are uniformly sampled from it. "
        f"These frames are located at {located}.Please answer the following questions related to this video."
    )


def question(scene: Scene) -> str:
    """The whole text of the question about a scene."""
    if scene.persons:
        names = ", ".join(f"Person{number + 1}" for number in range(scene.persons))
        order = "in the order in which they stand from left to right" if scene.persons > 1 else "the one who speaks"
        wanted = (
            f'"persons": a list of exactly {scene.persons} strings, the appearance of {names} ({order}): sex, age, '
            "hair, clothes, posture, what the person does. Begin each with the appearance, without a name or number. "
            'Write "not visible" for a person who cannot be seen.'
        )
    else:
        wanted = '"persons": an empty list.'
    return (
        f"{time_instruction(scene.seconds, scene.times)}\n"
        "Describe this video. Answer with one JSON object and nothing else, with the two keys "
        f'{wanted} "scene": a string, the place, the light, the camera, the objects and what happens, without '
        "repeating the persons' appearance. Say only what can be seen. Write English sentences."
    )


def fields(persons: int) -> list[tuple[str, str]]:
    """The answer as a form: what stands before each string, up to its opening quote, and whether that string is a
    "person" or the "scene". Behind the last there is a closing brace."""
    if not persons:
        return [('{"persons": [], "scene": "', "scene")]
    first, others = [('{"persons": ["', "person")], [(', "', "person")] * (persons - 1)
    return [*first, *others, ('], "scene": "', "scene")]


def parsed(answer: str, scene: Scene) -> Description:
    """The description in a model's answer. A fence around the object, words around it, and commas before a closing
    bracket are forgiven; anything else raises `WrongForm`."""
    tree = _object(answer)
    persons, text = tree.get("persons"), tree.get("scene")
    if not isinstance(persons, list) or not all(isinstance(person, str) for person in persons):
        raise WrongForm('"persons" must be a list of strings')
    if len(persons) != scene.persons:
        raise WrongForm(f'"persons" must hold exactly {scene.persons} strings, not {len(persons)}')
    if not isinstance(text, str) or not text.strip():
        raise WrongForm('"scene" must be a string that says something')
    if not all(person.strip() for person in persons):
        raise WrongForm("no person's description may be empty")
    if max(map(len, [*persons, text])) > LONGEST:
        raise WrongForm("the descriptions are too long")
    return Description(scene.clip_id, tuple(_unnamed(person) for person in persons), text.strip())


def _object(answer: str) -> dict[str, Any]:
    start, end = answer.find("{"), answer.rfind("}")
    if start < 0 or end < start:
        raise WrongForm("there is no JSON object in the answer")
    text = answer[start : end + 1]
    for attempt in (text, re.sub(r",(\s*[}\]])", r"\1", text)):
        try:
            tree = json.loads(attempt, strict=False)
        except json.JSONDecodeError:
            continue
        if isinstance(tree, dict):
            return tree
    raise WrongForm("the answer is not valid JSON")


def _unnamed(person: str) -> str:
    """`person` without "Person1:" before it: the template writes that."""
    return re.sub(r"^\s*person\s*\d+\s*[:,-]\s*", "", person, flags=re.IGNORECASE).strip()
