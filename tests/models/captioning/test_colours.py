"""Colours get the names that people give them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from demix.models.captioning.colours import NAMES, dominant_colours, name_colours
from tests.films import pictures


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((220, 20, 30), "red"),
        ((250, 130, 10), "orange"),
        ((250, 230, 20), "yellow"),
        ((30, 160, 40), "green"),
        ((20, 200, 200), "turquoise"),
        ((20, 60, 220), "blue"),
        ((120, 40, 200), "purple"),
        ((240, 60, 180), "pink"),
        ((110, 70, 30), "brown"),
        ((230, 205, 170), "beige"),
        ((10, 10, 15), "black"),
        ((128, 128, 130), "grey"),
        ((250, 250, 248), "white"),
    ],
)
def test_plain_colours(rgb: tuple[int, int, int], name: str) -> None:
    assert NAMES[int(name_colours(np.array(rgb, np.uint8)))] == name
    assert dominant_colours(np.full((4, 5, 3), rgb, np.uint8)) == (name,)


@given(arrays(np.uint8, (3, 4, 3)))
def test_every_pixel_has_a_name(pixels: np.ndarray) -> None:
    named = name_colours(pixels)
    assert named.shape == (3, 4)
    assert ((named >= 0) & (named < len(NAMES))).all()


@given(arrays(np.uint8, (6, 6, 3)), st.integers(1, 4), st.floats(0.05, 0.9))
def test_dominant_colours_cover_what_they_should(pixels: np.ndarray, most: int, least: float) -> None:
    names = dominant_colours(pixels, least, most)
    shares = [(name_colours(pixels) == NAMES.index(name)).mean() for name in names]
    assert len(names) <= most
    assert all(share >= least for share in shares)
    assert shares == sorted(shares, reverse=True)


def test_photographs() -> None:
    assert "orange" in dominant_colours(pictures.load("flower").pixels)
    assert dominant_colours(pictures.load("hubble").pixels) == ("black",)
    assert dominant_colours(pictures.load("rocket").pixels)[0] == "blue"
