"""Speed of the models that look: `python -m benchmarks.backends_vision [NAME...] [--write]`.

Networks have their released sizes and random weights (those of `transnetv2` and `mtcnn` come with their packages).
Detectors are asked about as many frames of a second as the stages ask them about by default, at 480p; the judges of
mouths about one face; the shot detectors about every frame.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.backend import Backend, main, require
from demix import weights
from demix.models import choose
from demix.stages.active_speaker import ActiveSpeakerSettings
from demix.stages.persons import CHUNK, PersonsSettings
from demix.stages.shots import ShotsSettings, ShotsStage
from demix.weights.fetch import adopt
from demix.weights.receipt import RANDOM

RATE = 16_000
NOTES = (
    "A face of 6 s for the judges of mouths, 1 s of film for the detectors, 20 s for the shots. `talknet` averages",
    "chunks of 1 to 6 s as in its own demo, at six times the cost of the chunks of 2 s that `talknet_2s` and the",
    "others use.",
    "",
    "`yolo` is YOLO11m; its package is an extra. Not measured: `yunet` (its release is a graph, which random weights",
    "cannot stand for). `llava_video` and `qwen3_vl` are in backends_captioners.md.",
)


def state_of(name: str, network: Callable[[], nn.Module]) -> Callable[[Path], None]:
    """Writes a network's random numbers as the one file of a set."""

    def put(folder: Path) -> None:
        torch.save(network().state_dict(), folder / "state")
        entry = weights.find(name)
        if (size := entry.files[0].size) is not None:  # the cache wants that of the release, longer by some kB
            os.truncate(folder / "state", size)
        adopt(entry, entry.files[0], folder / "state", RANDOM)

    return put


def rtdetr(name: str, backbone: dict[str, Any], **config: Any) -> Callable[[Path], None]:
    """Writes a RT-DETRv2 of that backbone as the hub has it."""

    def put(folder: Path) -> None:
        from transformers import RTDetrImageProcessor, RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

        labels = {number: "person" if number == 0 else f"thing {number}" for number in range(80)}
        made = RTDetrV2Config(backbone_config=RTDetrResNetConfig(**STAGES, **backbone), id2label=labels, **config)
        RTDetrV2ForObjectDetection(made).save_pretrained(folder)
        RTDetrImageProcessor(size={"height": 640, "width": 640}).save_pretrained(folder)
        entry = weights.find(name)
        for file in entry.files:
            adopt(entry, file, folder / file.path, RANDOM)

    return put


def yolo(name: str) -> Callable[[Path], None]:
    """Writes a YOLO11 as its vendor has it, which finds nobody: how many a real one finds costs next to nothing."""

    def put(folder: Path) -> None:
        require("ultralytics")
        from tests.models.persons.released import yolo_file

        entry = weights.find(name)
        adopt(entry, entry.files[0], yolo_file(folder, name, bias=-20.0), RANDOM)

    return put


STAGES = {"out_features": ["stage2", "stage3", "stage4"]}
R18 = {"hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic"}


@functools.cache
def frames(count: int) -> np.ndarray:
    """uint8 (count, 480, 854, 3) of blurred noise, made once: who asks again is not to wait for it."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 30, 54, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(16, 1).repeat(16, 2)[:, :480, :854])


@functools.cache
def face(seconds: float) -> tuple[np.ndarray, float, np.ndarray]:
    """Crops uint8 (frames, 224, 224), how many a second, and their sound; made once."""
    crops = np.random.default_rng(0).integers(0, 256, (round(24 * seconds), 224, 224), dtype=np.uint8)
    return crops, 24.0, np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def detector(role: str, name: str, put: Callable[[Path], None] | None = None, **settings: Any) -> Backend:
    chosen = PersonsSettings.model_validate(settings)
    rate = chosen.faces_per_second if role == "faces" else chosen.persons_per_second

    def ask(model: Any, seconds: float) -> None:
        pictures = frames(round(rate * seconds))
        for start in range(0, len(pictures), CHUNK):
            model.detect(pictures[start : start + CHUNK])

    return Backend(lambda device: choose(role, name, chosen).make(device, threads=1), ask, 1.0, put)


def mouths(name: str, put: Callable[[Path], None] | None = None, **settings: Any) -> Backend:
    chosen = ActiveSpeakerSettings.model_validate(settings)

    def ask(model: Any, seconds: float) -> None:
        model.score(*face(seconds), RATE)

    return Backend(lambda device: choose("active_speaker", name, chosen).make(device, threads=1), ask, 6.0, put)


def shots(name: str) -> Backend:
    def ask(model: Any, seconds: float) -> None:
        pictures = frames(48)[:, ::4, ::4]
        shown = ((number, pictures[number // 10 % len(pictures)]) for number in range(round(24 * seconds)))
        model.detect(shown, 24.0)

    return Backend(lambda device: ShotsStage(ShotsSettings(model=name))._make(device), ask, 20.0, gpu_seconds=100.0)


def talknet() -> nn.Module:
    from demix.models.active_speaker import talknet as module

    return module.network()


def lr_asd() -> nn.Module:
    from demix.models.active_speaker import lr_asd as module

    return module.network()


def light_asd() -> nn.Module:
    from demix.models.active_speaker import light_asd as module

    return module.network()


def s3fd() -> nn.Module:
    from demix.models.faces.s3fd_network import S3fd

    return S3fd()


BACKENDS = {
    "adaptive": shots("adaptive"),
    "transnetv2": shots("transnetv2"),
    "mtcnn": detector("faces", "mtcnn"),
    "s3fd": detector("faces", "s3fd", state_of("s3fd", s3fd)),
    "rtdetr_r18": detector(
        "persons",
        "rtdetr",
        rtdetr("rtdetr_v2_r18", R18, encoder_in_channels=[128, 256, 512], decoder_layers=3, hidden_expansion=0.5),
        rtdetr={"weights": "rtdetr_v2_r18"},
    ),
    "rtdetr_r50": detector("persons", "rtdetr", rtdetr("rtdetr_v2_r50", {})),
    "yolo": detector("persons", "yolo", yolo("yolo11m")),
    "mouth_flow": mouths("mouth_flow"),
    "lr_asd": mouths("lr_asd", state_of("lr_asd", lr_asd)),
    "light_asd": mouths("light_asd", state_of("light_asd", light_asd)),
    "talknet_2s": mouths("talknet", state_of("talknet", talknet), talknet={"durations": (2,)}),
    "talknet": mouths("talknet", state_of("talknet", talknet)),
}
RESULT = Path(__file__).parent / "results/backends_vision.md"

if __name__ == "__main__":
    sys.exit(main("benchmarks.backends_vision", "Models that look", BACKENDS, RESULT, NOTES))
