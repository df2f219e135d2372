"""Films whose shots are known, made from the photographs of scikit-image and scikit-learn: for the index benchmark.

A film is a list of shots (a photograph under a moving camera, with an object passing and grain) joined by hard cuts,
dissolves and fades, and holds what detectors mistake for a boundary: whip pans, lamps, titles that come and go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from skimage import data
from sklearn.datasets import load_sample_image

RATE = 24
ENCODINGS: dict[str, tuple[str, str, dict[str, str]]] = {
    "x264": ("libx264", "mp4", {"preset": "medium", "crf": "20"}),
    "x264, fixed key frames": ("libx264", "mp4", {"preset": "medium", "crf": "20", "g": "48", "sc_threshold": "0"}),
    "x264, one key frame": ("libx264", "mp4", {"preset": "medium", "crf": "23", "g": "9999", "sc_threshold": "0"}),
    "x264, no B-frames": ("libx264", "mp4", {"preset": "medium", "crf": "20", "bf": "0", "sc_threshold": "0"}),
    "x264, slow, 8 B-frames": ("libx264", "mkv", {"preset": "fast", "crf": "18", "bf": "8", "refs": "4"}),
    "x265": ("libx265", "mkv", {"preset": "superfast", "crf": "22", "x265-params": "log-level=error:pools=1"}),
    "x265, no scene cuts": (
        "libx265",
        "mkv",
        {"preset": "superfast", "crf": "22", "x265-params": "log-level=error:pools=1:scenecut=0:keyint=120"},
    ),
    "VP8": ("libvpx", "webm", {"deadline": "realtime", "cpu-used": "8", "b": "3M", "g": "128", "auto-alt-ref": "1"}),
    "VP9": ("libvpx-vp9", "webm", {"deadline": "realtime", "cpu-used": "8", "b": "2M", "g": "128"}),
    "MPEG-2": ("mpeg2video", "ts", {"b": "6M", "g": "12", "bf": "2"}),
}
"""name -> codec, container, options."""

_MOTIONS = ("still", "pan", "tilt", "zoom", "shake", "whip", "lamp", "title", "object", "pan")


@dataclass(frozen=True)
class Transition:
    first: int
    last: int
    """Frames that belong to no shot; for a hard cut `first` is the new shot's first frame and `last` one less."""
    kind: str
    """cut, dissolve or fade."""


@dataclass(frozen=True)
class Film:
    frames: int
    transitions: tuple[Transition, ...]
    shots: tuple[_Shot, ...]
    size: tuple[int, int]

    def render(self) -> Iterator[np.ndarray]:
        """Every frame, uint8 RGB (height, width, 3)."""
        begins = [0] + [transition.first for transition in self.transitions]
        ends = [transition.last + 1 for transition in self.transitions] + [self.frames]
        for index in range(self.frames):
            shown = [n for n in range(len(self.shots)) if begins[n] <= index < ends[n]]
            pictures = [self.shots[n].frame(index - begins[n], self.size) for n in shown]
            yield pictures[0] if len(shown) == 1 else self._mix(pictures, self.transitions[shown[0]], index)

    @staticmethod
    def _mix(pictures: list[np.ndarray], transition: Transition, index: int) -> np.ndarray:
        share = (index - transition.first + 1) / (transition.last - transition.first + 2)
        if transition.kind == "dissolve":
            return cv2.addWeighted(pictures[0], 1 - share, pictures[1], share, 0)
        # A fade: out in the first 45 %, black, in during the last 45 %.
        gains = max(0.0, (0.45 - share) / 0.45), max(0.0, (share - 0.55) / 0.45)
        return cv2.addWeighted(pictures[0], gains[0], pictures[1], gains[1], 0)


@dataclass(frozen=True)
class _Shot:
    photo: int
    motion: str
    seed: int
    brightness: float

    def frame(self, time: int, size: tuple[int, int]) -> np.ndarray:
        width, height = size
        random = np.random.default_rng(self.seed)
        photo = _photos()[self.photo]
        zoom, dx, dy, speed = 1.25 + 0.5 * random.random(), random.random(), random.random(), random.uniform(0.5, 1.0)
        seconds = time / RATE
        if self.motion == "pan":
            dx = 0.5 + 0.5 * np.sin(dx * 6 + speed * seconds * 0.5)
        elif self.motion == "tilt":
            dy = 0.5 + 0.5 * np.sin(dy * 6 + speed * seconds * 0.4)
        elif self.motion == "zoom":
            zoom *= 1.0 + 0.35 * (0.5 + 0.5 * np.sin(dx * 6 + speed * seconds))
        elif self.motion == "shake":
            dx += 0.06 * np.sin(7 * seconds + dy) + 0.02 * np.sin(23 * seconds)
            dy += 0.06 * np.sin(9 * seconds) + 0.02 * np.sin(19 * seconds)
        elif self.motion == "whip":
            dx = 0.5 + 0.5 * np.tanh(9 * (seconds % 3 - 1.5)) * (1 if int(seconds / 3) % 2 else -1)
        scale = zoom * max(width / photo.shape[1], height / photo.shape[0])
        free = photo.shape[1] * scale - width, photo.shape[0] * scale - height
        shift = -free[0] * np.clip(dx, 0, 1), -free[1] * np.clip(dy, 0, 1)
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        picture = cv2.warpAffine(photo, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        self._add(picture, seconds, size)
        gain = self.brightness
        if self.motion == "lamp":
            gain *= 0.75 + 0.25 * np.tanh(8 * np.sin(seconds * 1.7 + dx))
        offset = np.random.default_rng((self.seed, time)).integers(0, 64, 2)
        grain = _grain(size)[offset[0] : offset[0] + height, offset[1] : offset[1] + width]
        return cv2.add(cv2.convertScaleAbs(picture, alpha=gain), grain, dtype=cv2.CV_8U)

    def _add(self, picture: np.ndarray, seconds: float, size: tuple[int, int]) -> None:
        width, height = size
        if self.motion == "object":
            photo = cv2.resize(_photos()[(self.photo + 3) % len(_photos())], (width // 4, height // 2))
            left = int((width * 3 // 4) * (0.5 + 0.5 * np.sin(seconds * 2 + self.seed)))
            picture[height // 3 : height // 3 + height // 2, left : left + width // 4] = photo
        if self.motion == "title":
            share = float(np.clip(1.5 * np.sin(seconds * 2.0), 0, 1))
            overlay = picture.copy()
            cv2.putText(overlay, "A FILM", (width // 6, height * 3 // 5), 0, height / 130, (255, 255, 255), 9)
            cv2.addWeighted(overlay, share, picture, 1 - share, 0, dst=picture)


_cache: dict[object, object] = {}


def _photos() -> list[np.ndarray]:
    if "photos" not in _cache:
        names = (
            "astronaut",
            "coffee",
            "chelsea",
            "rocket",
            "camera",
            "coins",
            "immunohistochemistry",
            "hubble_deep_field",
        )
        pictures = [getattr(data, name)() for name in names] + [
            load_sample_image(f) for f in ("china.jpg", "flower.jpg")
        ]
        _cache["photos"] = [np.dstack([p] * 3) if p.ndim == 2 else np.ascontiguousarray(p[..., :3]) for p in pictures]
    return _cache["photos"]  # type: ignore[return-value]


def _grain(size: tuple[int, int]) -> np.ndarray:
    if size not in _cache:
        shape = (size[1] + 64, size[0] + 64, 3)
        _cache[size] = np.random.default_rng(0).normal(0, 3, shape).round().astype(np.int8).astype(np.int16)
    return _cache[size]  # type: ignore[return-value]


def film(seed: int, shots: int, size: tuple[int, int] = (1280, 720), gradual_share: float = 0.4) -> Film:
    """A film of `shots` shots, always the same for the same arguments."""
    random = np.random.default_rng(seed)
    chosen: list[_Shot] = []
    transitions: list[Transition] = []
    end = 0
    for number in range(shots):
        photo = int(random.integers(0, len(_photos())))
        if chosen and photo == chosen[-1].photo:
            photo = (photo + 1) % len(_photos())
        motion = _MOTIONS[int(random.integers(0, len(_MOTIONS)))]
        chosen.append(_Shot(photo, motion, int(random.integers(1 << 30)), float(random.uniform(0.6, 1.1))))
        end += int(random.integers(30, 120))
        if number < shots - 1:
            kind = ("dissolve", "fade")[int(random.integers(2))] if random.random() < gradual_share else "cut"
            length = 0 if kind == "cut" else int(random.integers(8, 49))
            transitions.append(Transition(end, end + length - 1, kind))
            end += length
    return Film(end, tuple(transitions), tuple(chosen), size)


def encode(movie: Film, path: Path, encoding: str) -> Path:
    """Writes `movie` at 24 frames/s with one of `ENCODINGS`, unless it is there; the container becomes the suffix."""
    codec, container, options = ENCODINGS[encoding]
    target = path.with_suffix(f".{container}")
    if target.exists():
        return target
    aside = target.with_stem(f"{target.stem}.part")
    with av.open(str(aside), "w") as output:
        stream = output.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height = movie.size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        stream.codec_context.thread_count = 1
        for number, picture in enumerate(movie.render()):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return aside.rename(target)
