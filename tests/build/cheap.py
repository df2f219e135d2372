"""Models that cost nothing and always answer the same, so that a test of the builder need not wait for the real ones.

Registered under the name `cheap` by `register`; `SETTINGS` chooses them, and a report without a gallery. Ray's workers
register them by the hook that `tests/build/_child.py` gives to Ray.
"""

from __future__ import annotations

import os
import signal
from typing import Any, ClassVar

import numpy as np

from demix.models import MODELS
from demix.models.captioning import Description, Scene
from demix.models.demixing import ThreeStems, TwoStems
from demix.models.diarization import Speech
from demix.records import Box, Turn

SETTINGS = (
    "demixing.three=cheap",
    "demixing.two=cheap",
    "persons.persons=cheap",
    "persons.faces=cheap",
    "diarization.model=cheap",
    "active_speaker.model=cheap",
    "caption.model=cheap",
    "report.samples_per_group=0",
)
OPTIONS = tuple(part for setting in SETTINGS for part in ("--set", setting))
"""The same for a command line."""


def register() -> None:
    """Makes the models known in this process."""
    for role, kind in {
        "demix_three": Three,
        "demix_two": Two,
        "persons": Persons,
        "faces": Faces,
        "diarization": Diarizer,
        "active_speaker": Speaker,
        "captioning": Captioner,
    }.items():
        MODELS[role]["cheap"] = f"tests.build.cheap:{kind.__name__}"


class Cheap:
    name: ClassVar[str] = "cheap"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "Apache-2.0"
    bandwidth_hz = 24_000.0

    def __init__(self, **_: Any):
        pass


class Three(Cheap):
    def separate(self, wave: np.ndarray, sample_rate: int, seed: int) -> ThreeStems:
        half, third = np.float32(0.5) * wave, np.float32(0.3) * wave
        return ThreeStems(half, third, wave - half - third, {"speech": 1.0, "effects": 0.5, "music": 0.5})


class Two(Cheap):
    def separate(self, wave: np.ndarray, sample_rate: int, seed: int) -> TwoStems:
        return TwoStems(np.float32(0.5) * wave, np.float32(0.5) * wave)


class Faces(Cheap):
    def detect(self, frames: np.ndarray) -> list[list[Box]]:
        height, width = frames.shape[1:3]
        box = Box(x0=0.3 * width, y0=0.2 * height, x1=0.7 * width, y1=0.8 * height, score=1.0)
        return [[box] for _ in frames]


class Persons(Faces):
    same_as_faces: ClassVar[str] = "cheap"


class Diarizer(Cheap):
    def diarize(self, wave: np.ndarray, sample_rate: int) -> Speech:
        return Speech((Turn(start_seconds=0.2, end_seconds=len(wave) / sample_rate / 2, speaker=0),), 1.0)


class Speaker(Cheap):
    def score(self, faces: np.ndarray, fps: float, wave: np.ndarray, sample_rate: int) -> np.ndarray:
        return np.ones(len(faces), np.float32)


class Captioner(Cheap):
    """May be told, by the environment, to do something terrible about one clip: `DEMIX_TEST_VICTIM=<clip id>:raise`, or
    `:die`."""

    def describe(self, scenes: list[Scene]) -> list[Description]:
        victim, _, deed = os.environ.get("DEMIX_TEST_VICTIM", "").partition(":")
        if victim in [scene.clip_id for scene in scenes]:
            if deed == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError(f"{victim} cannot be put into words")
        return [Description(scene.clip_id, ("somebody",) * scene.persons, "A place.") for scene in scenes]
