"""silero-vad's network, whose weights travel in its wheel."""

from __future__ import annotations

import warnings
from typing import Any


def load_silero() -> Any:
    """The network, on the CPU. It keeps a state from call to call; see its `reset_states`."""
    from silero_vad import load_silero_vad

    with warnings.catch_warnings():
        # The wheel holds TorchScript. torch 2.15 warns of it, and whoever builds a dataset can do nothing about it.
        warnings.filterwarnings("ignore", message=".*torch.jit.load.* is deprecated", category=FutureWarning)
        return load_silero_vad()
