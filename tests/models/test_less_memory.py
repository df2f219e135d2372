"""Models that ask a network in batches go on where a card's memory holds less, and answer the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from torch import nn

from demix.models import Choice
from demix.models.captioning.llava_network import LlavaVideoNetwork
from demix.recipe import judges, load_settings
from tests.build import generated
from tests.build.test_profiles import SHORT
from tests.models.captioning.test_llava_video import a_scene

LEAST = {"bandit_plus": 2}
"""What a network is given at least, where it is not 1: two channels of a chunk."""
RATE = 16_000
DRAW = np.random.default_rng(0)
SOUND = DRAW.normal(0, 0.1, (2, 45 * RATE)).astype(np.float32)
PICTURES = DRAW.integers(0, 256, (4, 96, 128, 3), dtype=np.uint8)
TINY = list(DRAW.integers(0, 256, (230, 27, 48, 3), dtype=np.uint8))
FACES = DRAW.integers(0, 256, (100, 224, 224), dtype=np.uint8)

ASKED: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("shots", "transnetv2"): lambda model: model.probabilities(TINY),
    ("audio_quality", "audiobox"): lambda model: model.score([SOUND], RATE),
    ("demix_three", "cdx23"): lambda model: vars(model.separate(SOUND[:, : 2 * RATE], RATE, 0)),
    ("demix_three", "bandit_plus"): lambda model: vars(model.separate(SOUND[:, : 10 * RATE], RATE, 0)),
    ("demix_two", "spleeter"): lambda model: vars(model.separate(SOUND[:, : 30 * RATE], RATE, 0)),
    ("persons", "rtdetr"): lambda model: model.detect(PICTURES),
    ("faces", "s3fd"): lambda model: model.detect(PICTURES),
    ("active_speaker", "talknet"): lambda model: model.score(FACES, 25.0, SOUND[0, : 4 * RATE], RATE),
    ("active_speaker", "lr_asd"): lambda model: model.score(FACES, 25.0, SOUND[0, : 4 * RATE], RATE),
    ("captioning", "llava_video"): lambda model: [one.scene for one in model.describe([a_scene()])],
}
"""(role, model) -> a question that takes several batches. Light-ASD is asked as LR-ASD is, YOLO's package is an extra,
pyannote has a test of its own, and the other captioners have no batches: they write about one clip at a time."""


@pytest.fixture(scope="module")
def choices(tmp_path_factory: pytest.TempPathFactory, shared_vectors: Path) -> Iterator[dict[tuple[str, str], Choice]]:
    """All models, with random weights."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMIX_WEIGHTS", str(folder / "cache"))
        generated.common(folder, shared_vectors, patch)
        generated.paper(folder, patch)
        free = [*generated.free(folder, patch), "persons.rtdetr.least_score=0"]
        short = [f"caption.llava_video.{setting}" for setting in SHORT]
        chosen = [judges(load_settings("paper", assignments=short)), judges(load_settings("open", assignments=free))]
        yield {(role, choice.name): choice for found in chosen for role, choice in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("role", "name"), ASKED)
def test_it_goes_on_with_less(role: str, name: str, choices: Mapping[tuple[str, str], Choice]) -> None:
    place = {"smallest": 1} if role in ("persons", "faces") else {}
    model, ask = choices[role, name].make("cpu", **place), ASKED[role, name]
    room = LEAST.get(name, 1)
    expected = numbers(ask(model))
    sizes: list[int] = []

    def refuse(network: nn.Module, given: Any, named: Any) -> None:
        sizes.append(next(tensors([given, named])).shape[0])
        if sizes[-1] > room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    for network in networks(model):
        network.register_forward_pre_hook(refuse, with_kwargs=True)
    found = numbers(ask(model))
    assert max(sizes) > room, "else nothing was refused"
    assert sizes.count(room) > 1
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def networks(model: Any) -> list[nn.Module]:
    """Those that a model holds, also in a list or by name; of LLaVA-Video the part that sees the frames."""
    held: list[nn.Module] = []
    for value in vars(model).values():
        if isinstance(value, LlavaVideoNetwork):
            value = value.model.vision_tower
        several = value.values() if isinstance(value, nn.ModuleDict) else value if isinstance(value, list) else [value]
        held += [one for one in several if isinstance(one, nn.Module)]
    return held


def tensors(given: Any) -> Iterator[torch.Tensor]:
    """All in nested arguments, in order."""
    if isinstance(given, torch.Tensor):
        yield given
    elif isinstance(given, Mapping):
        yield from tensors(list(given.values()))
    elif isinstance(given, Sequence):
        for one in given:
            yield from tensors(one)


def numbers(answer: Any) -> np.ndarray:
    """All in a nested answer, in order."""
    if isinstance(answer, BaseModel):
        return numbers(answer.model_dump())
    if isinstance(answer, Mapping):
        return numbers(list(answer.values()))
    if isinstance(answer, str):
        return numbers(list(answer.encode()))
    if isinstance(answer, list):
        return np.concatenate([np.zeros(0), *map(numbers, answer)])
    return np.atleast_1d(np.asarray(answer, np.float64)).ravel()
