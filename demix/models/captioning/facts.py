"""Puts into words what can be measured on a clip, and nothing else: no guess at places, sexes, ages or moods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from demix.lazy_module import lazy_module
from demix.models.captioning import Description, Scene
from demix.models.captioning.camera import CameraMotion, between_frames, camera_motion
from demix.models.captioning.colours import dominant_colours
from demix.records import Box

cv2: Any = lazy_module("cv2")

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
FRAMINGS = (
    (0.85, "extreme close-up"),
    (0.42, "close-up"),
    (0.24, "medium close-up"),
    (0.13, "medium shot"),
    (0.06, "wide shot"),
    (0.0, "very wide shot"),
)
"""Least height of the largest face, in frame heights, and what the shot is called then."""


class FactsCaptioner:
    """Meets `demix.models.captioning.Captioner`. Deterministic; needs no weights."""

    name: ClassVar[str] = "facts"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "Apache-2.0 (this project)"

    def __init__(self, threads: int = 1):
        cv2.setNumThreads(threads)

    def describe(self, scenes: list[Scene]) -> list[Description]:
        return [_describe(scene) for scene in scenes]


def _describe(scene: Scene) -> Description:
    height, width = scene.frames.shape[1:3]
    movements = between_frames(scene.frames, scene.faces)
    camera = camera_motion(movements, width, height)
    seen = [_column(scene, person) for person in range(_people(scene))]
    persons = tuple(
        _person(scene, seen[person], movements) if person < len(seen) else "not visible"
        for person in range(scene.persons)
    )
    sentences = (
        _framing(scene, seen),
        _light(scene.frames),
        _camera(camera, scene.seconds),
        _sounds(scene.audible),
    )
    return Description(scene.clip_id, persons, " ".join(sentence for sentence in sentences if sentence))


def _people(scene: Scene) -> int:
    return len(scene.faces[0]) if scene.faces else 0


def _column(scene: Scene, person: int) -> list[Box | None]:
    return [boxes[person] for boxes in scene.faces]


def _person(scene: Scene, boxes: Sequence[Box | None], movements: Sequence[np.ndarray | None]) -> str:
    """One person: place in the picture, framing, colour below the face, movement."""
    height, width = scene.frames.shape[1:3]
    seen = [box for box in boxes if box is not None]
    if not seen:
        return "not visible"
    share = float(np.median([box.y1 - box.y0 for box in seen])) / height
    parts = [f"a person {_place(seen, width)}", f"in {_article(_framing_name(share))}"]
    clothes = _clothes(scene.frames, boxes)
    if clothes:
        parts.append(f"dressed in {_listed(clothes)}")
    parts.append(_movement(boxes, movements))
    return ", ".join(parts)


def _place(boxes: Sequence[Box], width: int) -> str:
    centre = float(np.median([(box.x0 + box.x1) / 2 for box in boxes])) / width
    return "on the left" if centre < 0.4 else "on the right" if centre > 0.6 else "in the middle"


def _framing_name(share: float) -> str:
    """What a shot is called in which a face takes up `share` of the frame's height."""
    return next(name for least, name in FRAMINGS if share >= least)


def _clothes(frames: np.ndarray, boxes: Sequence[Box | None]) -> tuple[str, ...]:
    """Colours of the chest, where enough of it is in the picture: a face wide, from half a face below the chin."""
    height, width = frames.shape[1:3]
    patches = []
    for frame, box in zip(frames, boxes, strict=True):
        if box is not None:
            face = box.y1 - box.y0
            top, bottom = box.y1 + 0.5 * face, box.y1 + 1.5 * face
            x0, x1 = (min(max(round(edge), 0), width) for edge in (box.x0, box.x1))
            if height - top >= 0.4 * face and x1 - x0 > 3:
                patches.append(frame[round(top) : round(bottom), x0:x1].reshape(-1, 3))
    return dominant_colours(np.concatenate(patches), least_share=0.25, most=2) if patches else ()


def _movement(boxes: Sequence[Box | None], movements: Sequence[np.ndarray | None]) -> str:
    """How the face moves against what is behind it, in face widths."""
    steps = []
    for before, after, matrix in zip(boxes, boxes[1:], movements, strict=False):
        if before is not None and after is not None:
            expected = _centre(before) if matrix is None else matrix[:, :2] @ _centre(before) + matrix[:, 2]
            steps.append((_centre(after) - expected) / (after.x1 - after.x0))
    if not steps:
        return "seen briefly"
    way, wander = np.sum(steps, axis=0), float(np.linalg.norm(steps, axis=1).mean())
    if abs(way[0]) > 0.7:
        return "moving to the right" if way[0] > 0 else "moving to the left"
    return "moving a little" if wander > 0.12 else "almost still"


def _centre(box: Box) -> np.ndarray:
    return np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])


def _framing(scene: Scene, seen: Sequence[Sequence[Box | None]]) -> str:
    """Who can be seen, and how near: "A close-up of Person1 and one more person."."""
    if not _visible(seen):
        return "A shot in which no face can be seen."
    described = [f"Person{person + 1}" for person in range(min(scene.persons, len(seen)))]
    others = len(seen) - len(described)
    if others:
        noun = "person" if others == 1 else "people"
        described.append(f"{number(others)} {'more ' if described else ''}{noun}")
    height = max(float(np.median([box.y1 - box.y0 for box in column])) for column in _visible(seen))
    name = _framing_name(height / scene.frames.shape[1])
    return f"{_article(name).capitalize()} of {_listed(described)}."


def _visible(seen: Sequence[Sequence[Box | None]]) -> list[list[Box]]:
    columns = ([box for box in column if box is not None] for column in seen)
    return [column for column in columns if column]


def _light(frames: np.ndarray) -> str:
    """Brightness, contrast and the commonest colours."""
    lumas = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]).astype(np.float32)
    mean, contrast = float(lumas.mean()), float(lumas.std(axis=(1, 2)).mean())
    light = "dark" if mean < 50 else "dim" if mean < 90 else "bright" if mean > 165 else "evenly lit"
    if contrast > 70 or contrast < 25:
        light += " with strong contrast" if contrast > 70 else " with little contrast"
    change = float(lumas[-1].mean() - lumas[0].mean())
    if abs(change) > 40:
        light += f" and grows {'brighter' if change > 0 else 'darker'}"
    colours = dominant_colours(frames[:, ::2, ::2])
    return f"The picture is {light}, mostly {_listed(colours)}." if colours else f"The picture is {light}."


def _camera(motion: CameraMotion, seconds: float) -> str:
    """The camera's movement, or nothing where it could not be followed."""
    if not motion.known:
        return ""
    ways = [
        (abs(motion.right), "pans to the right" if motion.right > 0 else "pans to the left"),
        (abs(motion.down), "tilts down" if motion.down > 0 else "tilts up"),
        (abs(np.log(motion.zoom)), "closes in" if motion.zoom > 1 else "pulls back"),
    ]
    moves = [(size, way) for size, way in ways if size > 0.05]
    shaky = motion.shake > 0.006
    if not moves:
        return "The hand-held camera stays in place." if shaky else "The camera is still."
    speed = max(size for size, _ in moves) / max(seconds, 0.1)
    how = "slowly " if speed < 0.05 else "quickly " if speed > 0.25 else ""
    return f"The {'hand-held ' if shaky else ''}camera {how}{_listed([way for _, way in moves])}."


def _sounds(audible: frozenset[str]) -> str:
    names = {"speech": "speech", "music": "music", "effects": "sound effects"}
    heard = [name for track, name in names.items() if track in audible]
    if not heard:
        return "Nothing is heard."
    plural = len(heard) > 1 or heard == ["sound effects"]
    return f"{_listed(heard).capitalize()} {'are' if plural else 'is'} heard."


def number(count: int) -> str:
    """A number as a word, up to ten."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
