"""All randomness of training, counter based: a pure function of (seed, k, purpose), so there is no state to save.

`seed` is a stage's seed (`stage_seed`), `k` the number of the sample within the stage, `purpose` a word such as
"timestep", "noise" or "vae". Two purposes never share numbers; who draws first does not matter.
"""

from __future__ import annotations

import hashlib

import torch


def hash64(seed: int, *parts: int | str) -> int:
    """64 bits that depend on all arguments (and on the types of `parts`): BLAKE2b."""
    text = "\0".join([str(seed), *(f"{type(part).__name__}:{part}" for part in parts)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def stage_seed(seed: int, stage: str) -> int:
    """The seed of one stage of a run: sample k of one stage shares nothing with sample k of another."""
    return hash64(seed, "stage", stage)


def generator(seed: int, k: int, purpose: str) -> torch.Generator:
    """A CPU generator for one purpose of sample `k`. Draw on the CPU and move: the numbers are then the same anywhere.

    Torch's CPU generator keeps 32 bits of its seed, so among millions of samples a few pairs share their noise.
    """
    return torch.Generator().manual_seed(hash64(seed, k, purpose) >> 1)


def uniform(seed: int, k: int, purpose: str) -> float:
    """One number in [0, 1)."""
    return (hash64(seed, k, purpose) >> 11) * 2.0**-53
