"""CogVideoX's VAE as a decoder of streams: latent frames go in as they are made, pictures come out as they would of the
whole, and no more of the video is in memory than what is being decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

GROUP = 4
"""Video frames in a latent frame after the first, which holds one."""
PAIR = 2
"""Latent frames that the VAE decodes at a time; of a video's first ones, three."""
T = TypeVar("T")
Finish = Callable[[Tensor], Tensor]
"""From the VAE's pictures (batch, 3, frames, height, width), -1..1 and a little beyond, to what is wanted of them."""


def to_bytes(pictures: Tensor) -> Tensor:
    """uint8 (batch, frames, height, width, 3) on the CPU."""
    values = (pictures.float().clamp(-1, 1) + 1) * 127.5
    return values.round().to(torch.uint8).permute(0, 2, 3, 4, 1).cpu()


def to_floats(pictures: Tensor) -> Tensor:
    """float32, 0..1, (batch, frames, height, width, 3) on the CPU."""
    return ((pictures.float().clamp(-1, 1) + 1) / 2).permute(0, 2, 3, 4, 1).cpu()


class Decoder:
    """Decodes one video (or a batch of equally long ones), bit for bit as the VAE would decode it whole.

    The VAE's causal convolutions keep the last frames that they have seen (`conv_cache`) from one pair of latent frames
    to the next, for each tile and slice; here they are kept from one call to the next as well. The VAE takes the first
    latent frame for a single picture only where it comes with a pair behind it, and makes four of it else, so of an
    even number of latent frames the last one is repeated, and what that adds is left out: nothing looks ahead but
    within a pair.
    """

    def __init__(self, vae: Any, scale: float, device: torch.device | None = None, finish: Finish = to_bytes):
        """`scale`: what the latents were multiplied with. `device`: where the VAE computes, if that is not where its
        weights wait (offloading)."""
        self.vae, self.scale, self.device, self.finish = vae, scale, device, finish
        self._caches: list[Any] = []
        """Of each tile of each slice, in the order in which the VAE decodes them."""
        self._waiting: Tensor | None = None
        self._begun = False

    @torch.no_grad()
    def feed(self, latents: Tensor, *, last: bool = False) -> Iterator[Tensor]:
        """The next latent frames, scaled (batch, any number, channels, height, width), to the pictures that can be
        shown by now, some frames at a time. `last`: nothing follows, so all can."""
        waiting = latents if self._waiting is None else torch.cat([self._waiting, latents], 1)
        while waiting.shape[1] >= (size := PAIR if self._begun else 1 + PAIR):
            yield self._decoded(waiting[:, :size])
            waiting = waiting[:, size:]
        if last and waiting.shape[1]:
            yield self._rest(waiting)
            waiting = waiting[:, :0]
        self._waiting = waiting
        if last:
            self._caches.clear()
        elif hasattr(self.vae, "_hf_hook"):  # offloaded: what is kept waits where the weights do
            self._caches = [_moved(cache, torch.device("cpu")) for cache in self._caches]

    def _rest(self, latents: Tensor) -> Tensor:
        """The pictures of fewer latent frames than the VAE takes at a time."""
        count = latents.shape[1]
        shown = GROUP * count if self._begun else 1 + GROUP * (count - 1)
        if self._begun or count > 1:
            latents = torch.cat([latents, latents[:, -1:]], 1)
        return self._decoded(latents, shown)

    def _decoded(self, latents: Tensor, shown: int | None = None) -> Tensor:
        weight = next(self.vae.parameters())
        given = (latents / self.scale).transpose(1, 2).to(self.device or weight.device, weight.dtype)
        with self._carried_on(given.device):
            pictures = self.vae.decode(given).sample
        self._begun = True
        return self.finish(pictures[:, :, :shown])

    @contextmanager
    def _carried_on(self, device: torch.device) -> Iterator[None]:
        """While this is open, the VAE's inner decoder begins with what it kept, tile by tile."""
        kept: list[Any] = []

        def begin(_decoder: Any, given: tuple[Any, ...], options: dict[str, Any]) -> Any:
            before = self._caches[len(kept)] if self._caches else None
            return given, {**options, "conv_cache": _moved(before, device)}

        def end(_decoder: Any, _given: Any, result: tuple[Tensor, Any]) -> None:
            kept.append(result[1])

        handles = [
            self.vae.decoder.register_forward_pre_hook(begin, with_kwargs=True),
            self.vae.decoder.register_forward_hook(end),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        self._caches = kept


def _moved(cache: T, device: torch.device) -> T:
    """A cache (tensors in nested dicts) on another device."""
    moved: Any = cache
    if isinstance(cache, Tensor):
        moved = cache.to(device)
    elif isinstance(cache, dict):
        moved = {name: _moved(part, device) for name, part in cache.items()}
    return moved
