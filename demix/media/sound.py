"""The sound of a clip, put together from what was decoded: every sample at its time, nothing stretched.

What is read here was written by our own ffmpeg, in the format that `decode_command` names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demix.lazy_module import lazy_module
from demix.media.audio import rms_db
from demix.media.command import SoundRecipe
from demix.media.layouts import has_centre, sides, within_full_scale

av: Any = lazy_module("av")

_SLOTS = 3
_SYNC_POINT, _HEAD = bytes.fromhex("4e4be4adeeca4569"), 1 << 16
"""What stands before the first frame of a NUT file, and bytes within which it must be."""
_JUMP_SECONDS = 0.01
"""Gaps and overlaps of more than this are filled with silence and dropped; stamps of less are rounded or jitter."""


@dataclass(frozen=True)
class Sound:
    """A clip's mix."""

    wave: np.ndarray
    """float32 (channels, samples)."""
    gain_db: float
    """Applied to a downmix that would have been beyond full scale; else 0."""
    centre_db: float | None
    """Level of the centre channel alone; None where the film has none."""
    rest_db: float | None
    """Level of all that is not in the centre, as two channels; None where the film has no centre."""


def assemble(decoded: Path, recipe: SoundRecipe, channels: Sequence[str]) -> Sound:
    """The mix out of the file that `decode_command` wrote; silence where the film has no sound. `channels`: of the
    film's layout."""
    slots = np.zeros((_SLOTS, recipe.samples), np.float32)
    for track in _tracks(decoded, recipe):
        track.place(slots, recipe.first_sample)
    # A film may gain a centre channel on its way, and lose it.
    centre = has_centre(channels) or (recipe.channels == 2 and bool(slots[2].any()))
    wave, gain = sides(slots, recipe.channels), 1.0
    # Two channels that went through a lossy codec may lie a little beyond full scale: they are clipped as by a player.
    if centre or len(channels) > 2:
        wave, gain = within_full_scale(wave)
    return Sound(
        wave=wave,
        gain_db=round(20 * float(np.log10(gain)), 2),
        centre_db=round(rms_db(slots[2:]), 2) if centre else None,
        rest_db=round(rms_db(slots[:2]), 2) if centre else None,
    )


def write_raw(path: Path, wave: np.ndarray, bits: int) -> None:
    """`wave` as interleaved little-endian integers: 16 bits, or 24 in the upper bits of 32."""
    full_scale = 2.0 ** (bits - 1)
    # In float64, where 24 bits and a sign can be counted to the end of the scale.
    rounded = np.clip(np.rint(wave.T.astype(np.float64) * full_scale), -full_scale, full_scale - 1)
    samples = rounded.astype("<i2") if bits == 16 else rounded.astype("<i4") << 8
    path.write_bytes(samples.tobytes())


@dataclass
class _Run:
    """Samples that follow one another."""

    blocks: list[np.ndarray]
    """float32 (3, samples) each."""
    begins: list[int]
    """Where the run begins by the stamp of each block."""
    samples: int = 0

    def add(self, start: int, block: np.ndarray) -> None:
        self.begins.append(start - self.samples)
        self.blocks.append(block)
        self.samples += block.shape[1]

    @property
    def start(self) -> int:
        """The middle of what the blocks say: their stamps may be rounded to a millisecond, in either direction."""
        return int(np.median(self.begins))


class Timeline:
    """The blocks of one track, where their stamps say; gaps are silent, of two that overlap the earlier is heard."""

    def __init__(self, sample_rate: int):
        self._jump = _JUMP_SECONDS * sample_rate
        self._runs: list[_Run] = []

    def add(self, start: int, block: np.ndarray) -> None:
        """`block`, float32 (3, samples), begins at about the sample `start`."""
        if not self._runs or abs(start - self._runs[-1].samples - self._runs[-1].begins[0]) > self._jump:
            self._runs.append(_Run([], []))
        self._runs[-1].add(start, block)

    @property
    def end(self) -> int:
        """The sample after the last."""
        return max((run.start + run.samples for run in self._runs), default=0)

    def place(self, slots: np.ndarray, first: int = 0) -> None:
        """Adds the track to `slots` (3, samples), which begin with the sample `first`."""
        end = -first
        for run in self._runs:
            start = run.start - first
            block = np.concatenate(run.blocks, axis=1)[:, max(end - start, 0) :]
            start = max(start, end)
            end = max(end, start + block.shape[1])
            inside = block[:, max(-start, 0) : max(slots.shape[1] - start, 0)]
            start = max(start, 0)
            slots[:, start : start + inside.shape[1]] += inside


def _tracks(decoded: Path, recipe: SoundRecipe) -> Iterator[Timeline]:
    """Every stream of the file."""
    with decoded.open("rb") as file:
        if _SYNC_POINT not in file.read(_HEAD):
            return  # no stream holds a sample of the span, and libav does not open such a file
    for index in range(len(recipe.tracks)):
        with av.open(str(decoded), format="nut") as container:
            track, last = Timeline(recipe.sample_rate), None
            for packet in container.demux(container.streams.audio[index]):
                if packet.size == 0 or packet.pts is None:
                    continue
                # Where stamps jump back, ffmpeg moves each block behind the one before, by a single tick, until they
                # have caught up: what such a block holds is heard already.
                repeated, last = last is not None and packet.pts <= last + 1, packet.pts
                if not repeated:
                    track.add(packet.pts, np.frombuffer(bytes(packet), "<f4").reshape(-1, _SLOTS).T)
            yield track
