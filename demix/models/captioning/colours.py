"""Names for the colours of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from demix.lazy_module import lazy_module

cv2: Any = lazy_module("cv2")

HUES = ((10, "red"), (45, "orange"), (70, "yellow"), (165, "green"), (195, "turquoise"), (255, "blue"), (290, "purple"))
"""Upper bound in degrees and name; pink up to 340, then red again."""
NAMES = (*dict.fromkeys(name for _, name in HUES), "pink", "brown", "beige", "black", "grey", "white")


def name_colours(pixels: np.ndarray) -> np.ndarray:
    """Index into `NAMES` of every pixel; `pixels` uint8 RGB (..., 3) -> int (...).

    By hue, saturation and value: what is dark is black, what has little colour is black, grey or white by its value;
    dark orange is brown and pale orange or yellow beige.
    """
    flat = np.ascontiguousarray(pixels).reshape(1, -1, 3).astype(np.float32) / 255
    hue, saturation, value = (channel[0] for channel in cv2.split(cv2.cvtColor(flat, cv2.COLOR_RGB2HSV)))
    bounds = [bound for bound, _ in HUES] + [340]
    by_hue = np.array([NAMES.index(name) for _, name in HUES] + [NAMES.index("pink"), NAMES.index("red")])
    named = by_hue[np.searchsorted(bounds, hue, side="right")]
    warm = (hue >= 10) & (hue < 65)
    rules = (
        (warm & (value < 0.6), "brown"),
        (warm & (saturation < 0.45) & (value >= 0.6), "beige"),
        (saturation < 0.15, "grey"),
        ((saturation < 0.12) & (value > 0.85), "white"),
        (value < 0.18, "black"),
    )
    for applies, name in rules:
        named[applies] = NAMES.index(name)
    return named.reshape(pixels.shape[:-1])


def dominant_colours(pixels: np.ndarray, least_share: float = 0.15, most: int = 3) -> tuple[str, ...]:
    """Names of the `most` commonest colours that cover at least `least_share` (0..1), the commonest first."""
    shares = np.bincount(name_colours(pixels).ravel(), minlength=len(NAMES)) / max(pixels[..., 0].size, 1)
    order = sorted(range(len(NAMES)), key=lambda index: (-shares[index], index))
    return tuple(NAMES[index] for index in order[:most] if shares[index] >= least_share)
