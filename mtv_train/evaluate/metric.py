"""What a metric is: it measures one video (the costly part, cached), and scores what was measured (pure arithmetic)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

import numpy as np
import torch

from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.video import Clip, Unscorable

if TYPE_CHECKING:  # the suite knows the metrics' names
    from mtv_train.evaluate.suite import Suite

Arrays = Mapping[str, np.ndarray]
"""What a metric keeps of a video: embeddings, times, distances."""


@dataclass(frozen=True)
class Column:
    """One number of the table."""

    key: str
    title: str
    better: Literal["higher", "lower", "zero"]
    """`zero`: the nearer to 0, from either side."""
    decimals: int = 2
    of_set: bool = False
    """A property of the whole set (FVD), with no value for a single video."""
    needs_text: bool = False


class Metric(Protocol):
    """One file, one metric; built when the first video needs it."""

    name: ClassVar[str]
    revision: ClassVar[str]
    """Raised when the same video and weights would be measured otherwise: part of the cache's key."""
    columns: ClassVar[tuple[Column, ...]]

    @classmethod
    def build(cls, settings: EvaluateSettings, suite: Suite, device: torch.device) -> Self:
        """With its network."""

    @classmethod
    def depends_on(cls, settings: EvaluateSettings) -> dict[str, Any]:
        """The settings that change what is measured (the others change only how fast)."""

    def measure(self, clip: Clip) -> Arrays:
        """Raises `Unscorable`."""

    @staticmethod
    def score(measured: Arrays) -> dict[str, float]:
        """Values of the columns that single videos have, by their keys. Raises `Unscorable`."""


__all__ = ["Arrays", "Column", "Metric", "Unscorable"]
