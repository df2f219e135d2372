"""What was precomputed, read back for one window at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from demix.errors import MachineTrouble
from demix.store import Store
from mtv_train.data.batch import AudioFeatures, Latents
from mtv_train.data.errors import SampleError, StoreFailed
from mtv_train.data.index import Window
from mtv_train.data.settings import WindowSettings
from mtv_train.data.table import ClipRow

CachedPart = Literal["latents", "text", "audio"]


def content_id(clip: ClipRow, fields: Collection[str]) -> str:
    """16 hex digits over a clip's key and what some of its members hold: what a precomputed file belongs to."""
    digest = hashlib.blake2b(clip.key.encode(), digest_size=8)
    for name in fields:
        digest.update(clip.members[name].sha256)
    return digest.hexdigest()


def window_file(content: str, fingerprint: str, first: int) -> str:
    """Store key of one window's file, made for some content with settings and models of some fingerprint."""
    return f"media/{content[:2]}/{content}/{fingerprint[:12]}/{first:06d}.safetensors"


def text_file(text: str, fingerprint: str) -> str:
    """Store key of one text's embedding."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"text/{fingerprint[:12]}/{digest[:2]}/{digest}.safetensors"


@dataclass(frozen=True)
class Caches:
    """The parts that are read instead of being computed, and the fingerprints that they were made with. Opened by
    `mtv_train.precompute.caches.open_caches`, which sees to it that they are whole."""

    store: str
    fingerprints: Mapping[CachedPart, str]
    window: WindowSettings

    def __contains__(self, part: CachedPart) -> bool:
        return part in self.fingerprints

    def latents(self, window: Window) -> Latents:
        """Of one window, bf16 (1, latent frames, channels, height, width). Raises SampleError (`cache`)."""
        tensors = self._read(
            window, window_file(content_id(window.clip, ("mp4",)), self.fingerprints["latents"], window.first)
        )
        return Latents(tensors["mean"], tensors["logvar"])

    def text(self, window: Window, text: str) -> Tensor:
        """bf16 (1, tokens, dim). Raises SampleError (`cache`)."""
        return self._read(window, text_file(text, self.fingerprints["text"]))["text"]

    def audio(self, window: Window) -> AudioFeatures:
        """Of one window, tracks bf16 (1, frames + 2 radius, layers, channels). Raises SampleError (`cache`)."""
        content = content_id(window.clip, track_fields(self.window))
        tensors = self._read(window, window_file(content, self.fingerprints["audio"], window.first))
        return AudioFeatures({track: tensors[track] for track in self.window.tracks}, self.window.audio_radius)

    def _read(self, window: Window, key: str) -> dict[str, Tensor]:
        store = Store(self.store)
        try:
            tensors: dict[str, Tensor] = load(store.read(key))
        except MachineTrouble as error:
            raise StoreFailed(str(error)) from error
        except (OSError, SafetensorError) as error:
            raise SampleError(
                window.clip.key, "cache", f"{store.address(key)}: {error}; run mtv_train precompute"
            ) from error
        return tensors


def track_fields(window: WindowSettings) -> tuple[str, ...]:
    """The members that audio features are made of."""
    return tuple(f"{track}.flac" for track in window.tracks)


def rounded(tensor: Tensor) -> Tensor:
    """As it is kept: bf16, on the CPU or where it was made. Encoders round in the training step, too."""
    return tensor.to(torch.bfloat16)
