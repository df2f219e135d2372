"""Photographs that travel in wheels, as scenes and as people whose mouths can be opened.

astronaut (NASA), rocket (SpaceX), hubble_deep_field (NASA): public domain; chelsea, coffee, motorcycle: CC0 or free for
any use, all from scikit-image. grace_hopper (US Navy, public domain) from matplotlib. china, flower (CC BY 2.0,
danielbuechele and vultilion on Flickr) from scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import matplotlib.cbook
import numpy as np
import skimage.data
import sklearn.datasets

SCENES = ("rocket", "hubble", "cat", "coffee", "motorcycle", "china", "flower")
"""Pictures without people."""
PEOPLE = ("astronaut", "admiral", "both")
"""Pictures with them; on `both` the astronaut is face 0 (left) and the admiral face 1 (right)."""

MOUTH_DARK = np.array([46, 14, 16], np.float32)


@dataclass(frozen=True)
class Face:
    """Where a mouth is, in pixels of its picture."""

    x: float
    y: float
    """The line between the lips."""
    width: float

    def moved(self, dx: float, dy: float, scale: float = 1.0) -> Face:
        return Face((self.x + dx) * scale, (self.y + dy) * scale, self.width * scale)


@dataclass(frozen=True)
class Picture:
    pixels: np.ndarray
    """uint8 RGB (height, width, 3)."""
    faces: tuple[Face, ...] = ()

    def scaled(self, scale: float) -> Picture:
        size = round(self.pixels.shape[1] * scale), round(self.pixels.shape[0] * scale)
        pixels = cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)
        return Picture(pixels, tuple(face.moved(0, 0, scale) for face in self.faces))

    def cropped(self, x0: int, y0: int, x1: int, y1: int) -> Picture:
        return Picture(self.pixels[y0:y1, x0:x1], tuple(face.moved(-x0, -y0) for face in self.faces))


@dataclass(frozen=True)
class View:
    """What the camera sees: the centre and the width of its window, as shares of the picture's width and height."""

    x: float = 0.5
    y: float = 0.5
    width: float = 0.9


@lru_cache(maxsize=16)
def load(name: str) -> Picture:
    """One of `SCENES` or `PEOPLE`. Raises `KeyError` for another name."""
    if name == "both":
        left = load("astronaut").cropped(94, 0, 350, 282)
        right = load("admiral").scaled(0.55).cropped(20, 0, 276, 282)
        return _side_by_side(left, right, blend=24)
    pixels, faces = {
        "astronaut": (skimage.data.astronaut, (Face(224, 148, 44),)),
        "admiral": (lambda: _matplotlib("grace_hopper.jpg"), (Face(269, 279, 74),)),
        "rocket": (skimage.data.rocket, ()),
        "hubble": (skimage.data.hubble_deep_field, ()),
        "cat": (skimage.data.chelsea, ()),
        "coffee": (skimage.data.coffee, ()),
        "motorcycle": (lambda: skimage.data.stereo_motorcycle()[0], ()),
        "china": (lambda: sklearn.datasets.load_sample_image("china.jpg"), ()),
        "flower": (lambda: sklearn.datasets.load_sample_image("flower.jpg"), ()),
    }[name]
    return Picture(np.ascontiguousarray(pixels()[..., :3]), faces)


def _matplotlib(name: str) -> np.ndarray:
    path = matplotlib.cbook.get_sample_data(name, asfileobj=False)
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def _side_by_side(left: Picture, right: Picture, blend: int) -> Picture:
    """Two pictures of equal height in one, their seam blended over `blend` columns."""
    weight = np.linspace(0, 1, blend)[None, :, None]
    seam = left.pixels[:, -blend:] * (1 - weight) + right.pixels[:, :blend] * weight
    pixels = np.hstack([left.pixels[:, :-blend], seam.round().astype(np.uint8), right.pixels[:, blend:]])
    shift = left.pixels.shape[1] - blend
    return Picture(pixels, left.faces + tuple(face.moved(shift, 0) for face in right.faces))


class Camera:
    """Takes frames of one picture, moving from one view to another, hand-held, with film grain."""

    def __init__(
        self, picture: Picture, start: View, end: View, size: tuple[int, int], seed: int, shake: float = 0.002
    ):
        """`size` (width, height) of the frames in pixels; `shake` in shares of the frame's width."""
        shrink = size[0] / (max(start.width, end.width) * picture.pixels.shape[1])
        self.picture = picture.scaled(shrink) if shrink < 0.7 else picture
        self.start, self.end, self.size, self.shake = start, end, size, shake
        rng = np.random.default_rng([seed, 8])
        self._phases = rng.uniform(0, 2 * np.pi, 4)
        self._grain = _grain(size, rng)
        self._rng = rng

    def frame(self, progress: float, seconds: float, mouths: Mapping[int, float] | None = None) -> np.ndarray:
        """The frame at `progress` (0 start, 1 end) and `seconds` into the shot, uint8 RGB (height, width, 3).

        `mouths`: how far faces open their mouths, 0 (as photographed) to 1.
        """
        pixels = self.picture.pixels
        for index, opening in (mouths or {}).items():
            if opening > 0.01:
                pixels = open_mouth(pixels, self.picture.faces[index], opening)
        frame = cv2.warpAffine(
            pixels,
            self._window(progress, seconds),
            self.size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        x, y = self._rng.integers(0, 32, 2)
        width, height = self.size
        brighter, darker = (tile[y : y + height, x : x + width] for tile in self._grain)
        return cv2.subtract(cv2.add(frame, brighter), darker)

    def _window(self, progress: float, seconds: float) -> np.ndarray:
        """2x3 matrix from frame pixels to picture pixels."""
        height, width = self.picture.pixels.shape[:2]
        a, b, c, d = self._phases
        sway_x = np.sin(2 * np.pi * 0.43 * seconds + a) + 0.5 * np.sin(2 * np.pi * 1.1 * seconds + b)
        sway_y = np.sin(2 * np.pi * 0.37 * seconds + c) + 0.5 * np.sin(2 * np.pi * 0.9 * seconds + d)
        view = {
            part: getattr(self.start, part) * (1 - progress) + getattr(self.end, part) * progress
            for part in ("x", "y", "width")
        }
        scale = view["width"] * width / self.size[0]
        x = view["x"] * width + self.shake * self.size[0] * scale * sway_x
        y = view["y"] * height + self.shake * self.size[0] * scale * sway_y
        return np.array([[scale, 0, x - scale * self.size[0] / 2], [0, scale, y - scale * self.size[1] / 2]])


def _grain(size: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Noise tiles, a little larger than a frame, to add and to take away: both uint8 (height, width, 3)."""
    noise = rng.normal(0, 1.6, (size[1] + 32, size[0] + 32, 1)).round()
    noise = np.repeat(noise, 3, axis=2)
    return np.maximum(noise, 0).astype(np.uint8), np.maximum(-noise, 0).astype(np.uint8)


def open_mouth(pixels: np.ndarray, face: Face, opening: float) -> np.ndarray:
    """A copy with the lips of `face` parted: the lower lip and chin move down, the upper lip a little up.

    Lines above and below the mouth are stretched so that nothing tears; the gap is filled with darkness.
    """
    half, reach = 0.62 * face.width, 1.3 * face.width
    x0, x1 = int(face.x - half) - 1, int(face.x + half) + 2
    y0, y1 = int(face.y - 0.5 * face.width), int(face.y + reach) + 1
    xs = np.arange(x0, x1, dtype=np.float32)[None, :]
    ys = np.arange(y0, y1, dtype=np.float32)[:, None]
    gap = opening * 0.32 * face.width * np.maximum(1 - ((xs - face.x) / half) ** 2, 0)
    offset = ys - face.y
    up, down = 0.25 * gap, 0.75 * gap
    above, below = 0.5 * face.width, reach
    source = np.where(
        offset >= 0,
        np.maximum(offset - down, 0) * below / (below - down),
        np.minimum(offset + up, 0) * above / (above - up),
    )
    map_x = np.broadcast_to(xs, source.shape).astype(np.float32)
    patch = cv2.remap(pixels, map_x, (source + face.y).astype(np.float32), cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    depth = np.minimum(np.minimum(offset + up, down - offset), 2.0).clip(0) / 2.0
    patch = patch * (1 - depth[..., None]) + MOUTH_DARK * depth[..., None]
    result = pixels.copy()
    result[y0:y1, x0:x1] = patch.round().astype(np.uint8)
    return result
