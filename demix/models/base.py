"""What all models have in common."""

from __future__ import annotations

from typing import ClassVar, Protocol

from demix import records


class Judge(Protocol):
    """A model: constructed once per worker (weights are loaded in `__init__`), then called with plain arrays.

    `name` and `revision` are class attributes, so that a plan can be made without loading any weights.
    """

    name: ClassVar[str]
    revision: ClassVar[str]
    """Version of the weights or of the algorithm: raised when the same input would give another answer."""
    licence: ClassVar[str]
    """SPDX identifier of code and weights, and where they come from."""


def credit(judge: type[Judge] | Judge) -> records.Model:
    """The model as a record names it."""
    return records.Model(model=judge.name, revision=judge.revision)
