"""Sync-C and Sync-D (Chung and Zisserman 2016): how well lips move with the sound, by SyncNet on tracked faces."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from scipy.signal import medfilt
from torch.nn import functional as F

from demix.models.active_speaker.crops import crop, crop_windows
from demix.models.active_speaker.mfcc import mfcc
from demix.models.faces import FaceDetector
from demix.records import FaceTrack
from demix.stages.tracks import build_tracks
from mtv_train.evaluate.metric import Arrays, Column, Unscorable
from mtv_train.evaluate.networks.syncnet import COLUMNS, FRAMES, SyncNet
from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.suite import Suite
from mtv_train.evaluate.video import Clip

FPS = 25
SAMPLE_RATE = 16_000
SAMPLES_A_FRAME, CEPSTRA_A_FRAME = 640, 4
MIN_OVERLAP = 0.5
"""Least overlap of a face with the same face one frame before."""


class LipSync:
    """Sync-D: the least mean distance of lips and sound over shifts of up to `max_shift` frames, lower is better.
    Sync-C: the median of these distances minus the least. Means over a video's face tracks. The offset: by how much the
    sound comes too late, in milliseconds (before 0: too early), at the least distance of all tracks together."""

    name: ClassVar[str] = "sync"
    revision: ClassVar[str] = "1"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("sync_c", "Sync-C", "higher"),
        Column("sync_d", "Sync-D", "lower"),
        Column("sync_offset", "Sync offset (ms)", "zero", decimals=0),
    )

    def __init__(
        self,
        network: SyncNet,
        faces: FaceDetector,
        device: torch.device,
        batch: int,
        max_shift: int = 15,
        min_track: int = 50,
        min_face: float = 50.0,
    ):
        """`min_track` frames (at 25 a second) and `min_face` pixels: fewer are no track."""
        self.network, self.faces, self.device, self.batch = network, faces, device, batch
        self.max_shift, self.min_track, self.min_face = max_shift, min_track, min_face

    @classmethod
    def build(cls, settings: EvaluateSettings, suite: Suite, device: torch.device) -> Self:
        return cls(suite.syncnet(), suite.faces(), device, settings.batch, **settings.sync.model_dump())

    @classmethod
    def depends_on(cls, settings: EvaluateSettings) -> dict[str, Any]:
        return settings.sync.model_dump()

    def measure(self, clip: Clip) -> Arrays:
        sound = to_int16(clip.mono(SAMPLE_RATE))
        pictures = clip.pictures[clip.at(FPS)]
        found = [self._distances(pictures, sound, track) for track in self._tracks(pictures)]
        curves = [curve for curve in found if curve is not None]
        if not curves:
            raise Unscorable(f"no face of {self.min_face:g} pixels is followed for {self.min_track} frames of 1/25 s")
        return {"distances": np.stack(curves)}

    @staticmethod
    def score(measured: Arrays) -> dict[str, float]:
        curves = torch.from_numpy(np.asarray(measured["distances"]))
        tracks = [judge(curve) for curve in curves]
        return {
            "sync_c": float(np.mean([track.confidence for track in tracks])),
            "sync_d": float(np.mean([track.distance for track in tracks])),
            "sync_offset": -1000.0 / FPS * judge(curves.mean(0)).offset,
        }

    def _tracks(self, pictures: np.ndarray) -> list[FaceTrack]:
        boxes = self.faces.detect(pictures)
        tracks = build_tracks(range(len(pictures)), boxes, MIN_OVERLAP, max_gap=FPS, min_detections=1)
        return [track for track in tracks if len(track.frames) >= self.min_track and _side(track) >= self.min_face]

    def _distances(self, pictures: np.ndarray, sound: np.ndarray, track: FaceTrack) -> np.ndarray | None:
        """Mean distance at every shift, (2 * max_shift + 1,); None where the sound ends too early to shift it."""
        first, last = track.frames[0], track.frames[-1]
        crops = face_crops(pictures, track)
        part = sound[first * SAMPLES_A_FRAME : (last + 1) * SAMPLES_A_FRAME]
        count = window_count(len(crops), len(part))
        if count <= self.max_shift:
            return None
        lips = _in_batches(self.network.embed_lips, lip_windows(crops, count), self.batch, self.device)
        heard = _in_batches(self.network.embed_sound, sound_windows(part, count), self.batch, self.device)
        return shifted_distances(lips, heard, self.max_shift).mean(0).numpy()


@dataclass(frozen=True)
class Judgement:
    offset: int
    """Frames by which the sound has to be moved; positive where it comes too early."""
    distance: float
    confidence: float


def shifted_distances(lips: torch.Tensor, sound: torch.Tensor, max_shift: int) -> torch.Tensor:
    """Distances (windows, 2 * max_shift + 1) of each lip window of (windows, dim) to the sound windows around it.

    Beyond the ends the sound is zeros, as in the reference. Euclidean, with 1e-6 added to every difference.
    """
    padded = F.pad(sound, (0, 0, max_shift, max_shift))
    around = padded.unfold(0, 2 * max_shift + 1, 1).transpose(1, 2)  # (windows, shifts, dim)
    return F.pairwise_distance(lips[:, None], around)


def judge(curve: torch.Tensor) -> Judgement:
    """Offset, least distance, and median minus least of mean distances (shifts,). Of two medians, the lower."""
    least, index = curve.min(0)
    return Judgement((len(curve) - 1) // 2 - int(index), float(least), float(curve.median() - least))


def framewise_confidence(distances: torch.Tensor) -> np.ndarray:
    """(windows,): the same confidence window by window at the best shift, smoothed by a median of nine."""
    curve = distances.mean(0)
    return np.asarray(medfilt((curve.median() - distances[:, curve.argmin()]).numpy(), kernel_size=9))


def window_count(frames: int, samples: int) -> int:
    """Windows of five frames for which there are pictures and sound; one less than would fit, as in the reference."""
    return min(frames, samples // SAMPLES_A_FRAME) - FRAMES


def face_crops(pictures: np.ndarray, track: FaceTrack) -> np.ndarray:
    """uint8 BGR (frames of the track, 224, 224, 3)."""
    crops = []
    for frame, window in zip(track.frames, crop_windows(track), strict=True):
        crops.append(np.stack([crop(np.ascontiguousarray(pictures[frame, ..., c]), window) for c in (2, 1, 0)], -1))
    return np.stack(crops)


def lip_windows(crops: np.ndarray, count: int) -> Iterable[torch.Tensor]:
    """Tensors (3, 5, 224, 224), 0..255, beginning at each frame."""
    video = torch.from_numpy(crops).permute(3, 0, 1, 2)
    return (video[:, start : start + FRAMES].float() for start in range(count))


def sound_windows(sound: np.ndarray, count: int) -> Iterable[torch.Tensor]:
    """Tensors (1, 13, 20) of int16-scaled `sound` (samples,), beginning with each frame."""
    cepstra = torch.from_numpy(mfcc(sound)).float().T  # (13, rows)
    starts = range(0, count * CEPSTRA_A_FRAME, CEPSTRA_A_FRAME)
    return (cepstra[None, :, start : start + COLUMNS] for start in starts)


def to_int16(wave: np.ndarray) -> np.ndarray:
    """float32 of full scale 1 as SyncNet was trained on it: integers of 16 bits."""
    return np.clip(np.rint(wave * 32768.0), -32768, 32767)


def _side(track: FaceTrack) -> float:
    return float(np.mean([(box.x1 - box.x0 + box.y1 - box.y0) / 2 for box in track.boxes]))


def _in_batches(embed, windows: Iterable[torch.Tensor], batch: int, device: torch.device) -> torch.Tensor:  # type: ignore[no-untyped-def]
    """(windows, dim) on the CPU; only one batch of windows is in memory at a time."""
    found: list[torch.Tensor] = []
    waiting: list[torch.Tensor] = []
    for window in windows:
        waiting.append(window)
        if len(waiting) == batch:
            found.append(embed(torch.stack(waiting).to(device)).float().cpu())
            waiting = []
    if waiting:
        found.append(embed(torch.stack(waiting).to(device)).float().cpu())
    return torch.cat(found)
