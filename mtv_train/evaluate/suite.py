"""Which metrics there are, which networks they may look through, and whether one may use them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, Protocol

import torch

from demix import weights
from demix.config import ConfigError
from demix.models.faces import FaceDetector
from mtv_train.evaluate.metric import Metric
from mtv_train.evaluate.networks.imagebind import ImageBind
from mtv_train.evaluate.networks.released import Released
from mtv_train.evaluate.networks.syncnet import SyncNet
from mtv_train.evaluate.networks.tiny import Tiny
from mtv_train.evaluate.networks.videoclip_xl import VideoCLIPXL
from mtv_train.evaluate.settings import EvaluateSettings


class Suite(Protocol):
    """Builds the networks, ready for inference on a device."""

    name: ClassVar[str]
    note: ClassVar[str]
    """What a reader of the results has to know of these networks; empty for nothing."""

    def __init__(self, settings: EvaluateSettings, device: torch.device): ...
    def weights(self, metric: str) -> tuple[str, ...]:
        """Names in `demix.weights` of what a metric needs."""

    def revision(self, metric: str) -> str:
        """Changes whenever the weights of a metric do: part of the cache's key."""

    def i3d(self) -> Callable[[torch.Tensor], torch.Tensor]: ...
    def clip(self) -> Any: ...
    def videoclip_xl(self) -> tuple[VideoCLIPXL, Any]: ...
    def imagebind(self) -> ImageBind: ...
    def syncnet(self) -> SyncNet: ...
    def faces(self) -> FaceDetector: ...


SUITES: dict[str, type[Suite]] = {"released": Released, "tiny": Tiny}
"""By name; `--networks NAME` chooses. Further ones may be added."""

METRICS = {
    "fvd": "mtv_train.evaluate.fvd:FVD",
    "temp_c": "mtv_train.evaluate.temporal:TemporalConsistency",
    "text_c": "mtv_train.evaluate.text:TextConsistency",
    "audio_c": "mtv_train.evaluate.audio:AudioConsistency",
    "sync": "mtv_train.evaluate.sync:LipSync",
    "av_align": "mtv_train.evaluate.av_align:AVAlign",
}
"""`module:class` by name, in the order of the paper's table 2."""


def metric_class(name: str) -> type[Metric]:
    """The metric of that name, imported only now: a metric costs nothing to those who do without."""
    module, _, found = METRICS[name].partition(":")
    kind: type[Metric] = getattr(importlib.import_module(module), found)
    return kind


def chosen_metrics(text: str) -> tuple[str, ...]:
    """`all`, or names with commas, in the order of `METRICS`. Raises `ConfigError` for an unknown name."""
    names = tuple(METRICS) if text == "all" else tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise ConfigError(f"--metrics names none; there are {', '.join(METRICS)}, and all")
    for name in names:
        if name not in METRICS:
            raise ConfigError(f"there is no metric {name!r}; there are {', '.join(METRICS)}, and all")
    return tuple(name for name in METRICS if name in names)


def check_licences(suite: Suite, metrics: Sequence[str], accepted: Collection[str]) -> list[str]:
    """A line for each set of weights that will be used. Raises `ConfigError` if one forbids some use and was not
    accepted by its name; weights that are missing are told of after that, all at once."""
    entries = [(metric, weights.find(name)) for metric in metrics for name in suite.weights(metric)]
    refused = [(metric, entry) for metric, entry in entries if entry.forbids and entry.name not in accepted]
    if refused:
        lines = [
            f"{metric}: {entry.name} is {entry.licence}, which forbids {entry.forbids}" for metric, entry in refused
        ]
        names = ",".join(entry.name for _, entry in refused)
        rest = ",".join(metric for metric in metrics if metric not in {metric for metric, _ in refused})
        raise ConfigError(
            "\n".join(lines)
            + f"\nIf your use is allowed, add --accept-licence {names}; to do without, --metrics {rest or 'av_align'}"
        )
    missing = []
    for _, entry in entries:
        try:
            weights.locate(entry.name)
        except weights.WeightsMissing as error:
            missing.append(str(error))
    if missing:
        raise ConfigError("\n".join(missing))
    return [f"{metric}: {entry.name} ({entry.licence})" for metric, entry in entries]
