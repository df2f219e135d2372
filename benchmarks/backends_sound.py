"""Speed of the models that hear: `python -m benchmarks.backends_sound [NAME...] [--write]`.

Networks have their released sizes and random weights; eight seconds of stereo noise at 44.1 kHz. `spleeter_package`
needs the environment of `make spleeter-env`, `pyannote` its package. How well the `lite` demixers part sounds is in
benchmarks/demixing.py.
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

from benchmarks.backend import Backend, main, require
from demix import weights
from demix.models import choose
from demix.stages.audio_quality import AudioQualitySettings
from demix.stages.demixing import DemixingSettings
from demix.stages.diarization import DiarizationSettings
from demix.weights.fetch import adopt
from demix.weights.receipt import RANDOM
from tests.models.vectors import Vector

SHARED = Path(os.environ.get("DEMIX_SHARED", Path(__file__).parents[2] / "shared"))
"""Where the parity vectors lie, one of which is Spleeter's index."""
RATE, SECONDS = 44_100, 8.0
NOTES = (
    f"{SECONDS:g} s of stereo noise. `cdx23` is asked for its three checkpoints; with `checkpoints: 1` it is three",
    "times as fast. BandIt Plus covers every sample with four chunks, MVSEP-CDX23 with five segments, each of which",
    "costs as much for a shorter clip; Spleeter takes segments of 11.9 s, pyannote chunks of 10 s, one a second.",
)


@functools.cache
def noise(seconds: float) -> np.ndarray:
    """float32 (2, samples), made once."""
    return np.random.default_rng(0).normal(0, 0.1, (2, round(seconds * RATE))).astype(np.float32)


def demixer(role: str, name: str, put: Callable[[Path], None] | None = None) -> Backend:
    def ask(model: Any, seconds: float) -> None:
        model.separate(noise(seconds), RATE, 0)

    return Backend(lambda device: choose(role, name, DemixingSettings()).make(device), ask, SECONDS, put)


def package(put: Callable[[Path], None]) -> Backend:
    """The package runs in a process of its own, which its first question starts."""
    asked = demixer("demix_two", "spleeter_package", put)

    def make(device: str) -> Any:
        model = asked.make(device)
        asked.ask(model, 0.5)
        return model

    return Backend(make, asked.ask, SECONDS, put)


def judge(name: str, put: Callable[[Path], None] | None = None) -> Backend:
    def ask(model: Any, seconds: float) -> None:
        model.score([noise(seconds)], RATE)

    return Backend(lambda device: choose("audio_quality", name, AudioQualitySettings()).make(device), ask, SECONDS, put)


def cdx23(folder: Path) -> None:
    """Three checkpoints with demucs' own sizes."""
    from tests.models.demixing.released import put_cdx23

    put_cdx23(folder, channels=48, t_layers=5, t_heads=8, t_hidden_scale=4.0, bottom_channels=0, segment=10)


def bandit_plus(folder: Path) -> None:
    from demix.models.demixing.bandit_network import BanditPlus
    from tests.models.demixing.released import put_bandit_plus

    put_bandit_plus(folder, BanditPlus())


def spleeter(folder: Path) -> None:
    """The released index says where each array lies; the arrays are random numbers."""
    from tests.models.demixing.released import put_spleeter

    put_spleeter(folder, Vector(SHARED / "vectors", "spleeter_tf_bundle").outputs["index_bytes"].tobytes())


def audiobox(folder: Path) -> None:
    """The package's own WavLM, with one layer over its thirteen states for each axis."""
    from audiobox_aesthetics.model.aes import AesMultiOutput

    from demix.models.audio_quality.audiobox import AXES, CONFIG

    chosen = {
        "proj_num_layer": 1, "proj_ln": False, "proj_act_fn": "gelu", "proj_dropout": 0, "nth_layer": 13,
        "use_weighted_layer_sum": True, "precision": "32", "normalize_embed": True, "output_dim": 1,
    }  # fmt: skip
    config = {name: chosen[name] for name in CONFIG}
    targets = {axis: {"mean": 5.0, "std": 1.0} for axis in AXES}
    state = AesMultiOutput(**config, target_transform=targets).state_dict()
    torch.save({"state_dict": state, "model_cfg": config, "target_transform": targets}, folder / "checkpoint.pt")
    entry = weights.find("audiobox")
    adopt(entry, entry.files[0], folder / "checkpoint.pt", RANDOM)


def diarizer(name: str, put: Callable[[Path], None] | None = None) -> Backend:
    def ask(model: Any, seconds: float) -> None:
        model.diarize(noise(seconds)[0], RATE)

    return Backend(lambda device: choose("diarization", name, DiarizationSettings()).make(device), ask, SECONDS, put)


def pyannote(folder: Path) -> None:
    """The whole folder of community-1."""
    require("pyannote.audio")
    from tests.models.diarization.released import pyannote_folder

    entry = weights.find("pyannote_community_1")
    made = pyannote_folder(folder / "made")
    for file in entry.files:
        adopt(entry, file, made / file.path, RANDOM)


BACKENDS = {
    "signal": judge("signal"),
    "audiobox": judge("audiobox", audiobox),
    "lite_three": demixer("demix_three", "lite"),
    "cdx23": demixer("demix_three", "cdx23", cdx23),
    "bandit_plus": demixer("demix_three", "bandit_plus", bandit_plus),
    "lite_two": demixer("demix_two", "lite"),
    "spleeter": demixer("demix_two", "spleeter", spleeter),
    "spleeter_package": package(spleeter),
    "lite_diarizer": diarizer("lite"),
    "pyannote": diarizer("pyannote", pyannote),
}
RESULT = Path(__file__).parent / "results/backends_sound.md"

if __name__ == "__main__":
    sys.exit(main("benchmarks.backends_sound", "Models that hear", BACKENDS, RESULT, NOTES))
