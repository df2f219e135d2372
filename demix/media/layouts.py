"""Where the channels of a film's sound belong, and how they become the one or two channels of a clip.

Every channel is given three gains: into the left side, into the right side, and into the centre, which is kept apart so
that its level can be measured. The centre then goes into both sides. Left, right and centre keep their level, so that
dialogue is as loud in a clip of a 5.1 film as in one of a mono or a stereo film. Surround, height and rear channels
come 3 dB lower (ITU-R BS.775); the low-frequency effects channel is left out, as BS.775 and every player do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Gains = tuple[float, float, float]
"""Into the left, the right and the centre."""

_HALF_POWER = 0.7071067811865476
_LEFT, _RIGHT, _CENTRE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
_LEFT_REAR, _RIGHT_REAR, _MIDDLE_REAR = (_HALF_POWER, 0.0, 0.0), (0.0, _HALF_POWER, 0.0), (0.5, 0.5, 0.0)
_SILENT = (0.0, 0.0, 0.0)

GAINS: dict[str, Gains] = {
    **dict.fromkeys(("FL", "DL"), _LEFT),
    **dict.fromkeys(("FR", "DR"), _RIGHT),
    "FC": _CENTRE,
    # Half way between the centre and the side, at the same power.
    "FLC": (0.9238795325112867, 0.3826834323650898, 0.0),
    "FRC": (0.3826834323650898, 0.9238795325112867, 0.0),
    **dict.fromkeys(("BL", "SL", "WL", "TFL", "TBL", "TSL", "SDL", "BFL"), _LEFT_REAR),
    **dict.fromkeys(("BR", "SR", "WR", "TFR", "TBR", "TSR", "SDR", "BFR"), _RIGHT_REAR),
    **dict.fromkeys(("BC", "TC", "TFC", "TBC", "BFC"), _MIDDLE_REAR),
    **dict.fromkeys(("LFE", "LFE2"), _SILENT),
}
"""By the channel's name in FFmpeg."""

_BY_COUNT: dict[int, tuple[str, ...]] = {
    1: ("FC",),
    2: ("FL", "FR"),
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "FC", "BC"),
    5: ("FL", "FR", "FC", "SL", "SR"),
}
MASTER = ("FL", "FR", "FC", "LFE", "SL", "SR")
"""The order of SMPTE and of nearly every master."""


def by_count(count: int) -> tuple[str, ...]:
    """Names of `count` channels of which nobody says what they are, in the order of masters; what is beyond 7.1 counts
    as rear."""
    return _BY_COUNT.get(count) or (*MASTER, "BL", "BR", *["BC"] * count)[:count]


def is_named(channels: Sequence[str]) -> bool:
    """Whether every channel of a layout has a place."""
    return bool(channels) and all(name in GAINS for name in channels)


def gains(channels: Sequence[str]) -> list[Gains]:
    """One for each channel, by its name in FFmpeg.

    Ambisonics (channels AMBI0, AMBI1, ...) become two cardioids that face left and right, at the level of what is
    heard from the front. Where a channel has no name, all are taken in the order of masters.
    """
    if is_named(channels):
        return [GAINS[name] for name in channels]
    if channels and channels[0] == "AMBI0":
        facing = {"AMBI0": (1.0, 1.0, 0.0), "AMBI1": (1.0, -1.0, 0.0)}
        return [facing.get(name, GAINS.get(name, _SILENT)) for name in channels]
    return [GAINS[name] for name in by_count(len(channels))]


def pan(channels: Sequence[str]) -> str:
    """The argument of FFmpeg's filter `pan` that makes left, right and centre of a layout.

    For named channels it holds every name: it is then right for whatever layout a film changes to on its way.
    """
    named = is_named(channels)
    sources = dict(GAINS) if named else {f"c{place}": gain for place, gain in enumerate(gains(channels))}
    rows = []
    for slot in range(3):
        terms = [f"{gain[slot]:+.9g}*{name}" for name, gain in sources.items() if gain[slot]]
        rows.append(f"c{slot}=" + ("".join(terms).removeprefix("+") if terms else "0*" + next(iter(sources))))
    return "3c|" + "|".join(rows)


def pan_one(name: str) -> str:
    """The argument of `pan` for a track that holds the one channel `name`."""
    return "3c|" + "|".join(f"c{slot}={gain:.9g}*c0" for slot, gain in enumerate(GAINS[name]))


def has_centre(channels: Sequence[str]) -> bool:
    """Whether there is a centre channel beside others."""
    placed = gains(channels)
    return any(gain[2] for gain in placed) and any(gain[0] or gain[1] for gain in placed)


def sides(slots: np.ndarray, channels: int) -> np.ndarray:
    """Left, right and centre, (3, samples), as a clip's one or two channels, float32 (channels, samples)."""
    left, right, centre = slots
    if channels == 1:
        return (centre + (left + right) / 2)[np.newaxis]
    return np.stack([left + centre, right + centre])


def within_full_scale(wave: np.ndarray) -> tuple[np.ndarray, float]:
    """A downmix, turned down as a whole where a sample of it would be clipped, and the gain, 1 as a rule."""
    peak = float(np.abs(wave).max(initial=0))
    return (wave / np.float32(peak), 1 / peak) if peak > 1 else (wave, 1.0)


def downmix(wave: np.ndarray, channels: Sequence[str]) -> np.ndarray:
    """`wave` (channels, samples) of a layout as float32 (1 or 2, samples): as the builder makes a clip of it."""
    if len(channels) != len(wave):
        raise ValueError(f"{len(wave)} channels of sound, {len(channels)} channels of a layout")
    matrix = np.array(gains(channels), np.float32).T
    mixed = sides(matrix @ wave.astype(np.float32, copy=False), min(len(wave), 2))
    return within_full_scale(mixed)[0] if len(wave) > 2 else mixed
