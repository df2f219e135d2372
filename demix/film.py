"""Which film a source is of: what must not be parted between train and test, however many files it lies in."""

from __future__ import annotations

from collections.abc import Mapping

FILM = "film"
"""Column of a manifest of sources."""


def film_of(metadata: Mapping[str, str]) -> str:
    """The film's name as films are compared: small letters and digits only, so that "Big Fish" and "big_fish" are one.
    Empty where nothing is said: the source is then a film of its own."""
    return "".join(char for char in metadata.get(FILM, "").casefold() if char.isalnum())
