"""The sound of a clip, put together from what was decoded: every sample at its time, nothing stretched.

What is read here was written by our own ffmpeg, in the format that `decode_command` names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demix.lazy_module import lazy_module
from demix.media.audio import rms_db
from demix.media.command import SoundRecipe
from demix.media.layouts import sides

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


def assemble(decoded: Path, recipe: SoundRecipe, centre: bool) -> Sound:
    """The mix out of the file that `decode_command` wrote; silence where the film has no sound.

    `centre`: whether the film has a centre channel beside others. A film that gains one on its way has one there.
    """
    slots = np.zeros((_SLOTS, recipe.samples), np.float32)
    for track in _tracks(decoded, len(recipe.tracks)):
        _place(track, slots, recipe)
    wave = sides(slots, recipe.channels)
    mixed = len(recipe.tracks) > 1 or centre or (recipe.channels == 2 and bool(slots[2].any()))
    peak = float(np.abs(wave).max(initial=0))
    # Two channels that went through a lossy codec may lie a little beyond full scale: they are clipped as by a player.
    scale = 1 / peak if mixed and peak > 1 else 1.0
    return Sound(
        wave=wave * np.float32(scale) if scale < 1 else wave,
        gain_db=round(20 * float(np.log10(scale)), 2),
        centre_db=round(rms_db(slots[2:]), 2) if mixed else None,
        rest_db=round(rms_db(slots[:2]), 2) if mixed else None,
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
    """float32 (samples, 3) each."""
    begins: list[int]
    """Where the run begins by the stamp of each block."""
    samples: int = 0

    def add(self, pts: int, block: np.ndarray) -> None:
        self.begins.append(pts - self.samples)
        self.blocks.append(block)
        self.samples += len(block)

    @property
    def start(self) -> int:
        """The middle of what the blocks say: their stamps may be rounded to a millisecond, in either direction."""
        return int(np.median(self.begins))


def _tracks(decoded: Path, count: int) -> Iterator[list[_Run]]:
    """The runs of every stream of the file."""
    with decoded.open("rb") as file:
        if _SYNC_POINT not in file.read(_HEAD):
            return  # no stream holds a sample of the span, and libav does not open such a file
    for index in range(count):
        with av.open(str(decoded), format="nut") as container:
            stream = container.streams.audio[index]
            jump = _JUMP_SECONDS * stream.codec_context.sample_rate
            runs: list[_Run] = []
            last = None
            for packet in container.demux(stream):
                if packet.size == 0 or packet.pts is None:
                    continue
                # Where stamps jump back, ffmpeg moves each block behind the one before, by a single tick, until they
                # have caught up: what such a block holds is heard already.
                repeated, last = last is not None and packet.pts <= last + 1, packet.pts
                if repeated:
                    continue
                block = np.frombuffer(bytes(packet), "<f4").reshape(-1, _SLOTS)
                if not runs or abs(packet.pts - runs[-1].samples - runs[-1].begins[0]) > jump:
                    runs.append(_Run([], []))
                runs[-1].add(packet.pts, block)
            yield runs


def _place(runs: list[_Run], slots: np.ndarray, recipe: SoundRecipe) -> None:
    """Adds the runs of a track to `slots` (3, samples); where two overlap, the earlier is heard."""
    end = -recipe.first_sample
    for run in runs:
        start = run.start - recipe.first_sample
        block = np.concatenate(run.blocks)[max(end - start, 0) :]
        start = max(start, end)
        end = max(end, start + len(block))
        inside = block[max(-start, 0) : max(slots.shape[1] - start, 0)]
        start = max(start, 0)
        slots[:, start : start + len(inside)] += inside.T
