"""What all models have in common."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from demix import records, weights
from demix.config import ModelSettings
from demix.stage import Resources


class Judge(Protocol):
    """A model: constructed once per worker (weights are loaded in `__init__`), then called with plain arrays.

    `name` and `revision` are class attributes, so that a plan can be made without loading any weights.
    """

    name: ClassVar[str]
    revision: ClassVar[str]
    """Version of the weights or of the algorithm: raised when the same input would give another answer."""
    licence: ClassVar[str]
    """SPDX identifier of code and weights, and where they come from."""


class Learned(Judge, Protocol):
    """A judge that loads released weights: `Kind(settings, device)`; see `demix.models.choose`."""

    resources: ClassVar[Resources]
    """What a worker that holds the model occupies; a class method that takes the settings where it depends on them."""
    requires: ClassVar[tuple[str, str]]
    """A package that a plain installation lacks, and the extra that brings it, for a model that has one."""

    @classmethod
    def weights(cls, settings: Any) -> tuple[str, ...]:
        """Names (`demix.weights`) of the sets that it loads with these settings (its own `ModelSettings`)."""


def credit(judge: type[Judge] | Judge, settings: ModelSettings | None = None) -> records.Model:
    """The model as a record names it. The revision of a model with weights ends with what stands for their contents,
    so that other weights are other answers, and generated ones are marked `random`."""
    contents = [weights.revision(name) for name in weights_of(judge, settings)]
    return records.Model(model=judge.name, revision="+".join([judge.revision, *contents]))


def weights_of(judge: type[Judge] | Judge, settings: ModelSettings | None = None) -> tuple[str, ...]:
    """Names of the sets of weights that a judge loads; none for one that is no `Learned`."""
    declared = getattr(judge, "weights", None)
    return declared(settings) if callable(declared) else ()
