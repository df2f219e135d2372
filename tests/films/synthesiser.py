"""Makes the spoken lines in `voices/` again: `python -m tests.films.synthesiser` (needs `pip install espeakng-loader`).

The lines are kept as sound files, because then films need no synthesiser on the machine, sound the same on every
platform, and are free of the synthesiser's licence (eSpeak NG is GPL-3.0; what it says is not).
"""

from __future__ import annotations

import ctypes

import numpy as np
import soundfile

from tests.films.speech import LINES, VOICES

RETRIEVE, UTF8, RATE, PITCH = 2, 1, 1, 3
"""Of eSpeak's `speak_lib.h`: hand samples back synchronously, text encoding, and two of its parameters."""


class Espeak:
    """eSpeak NG from the `espeakng-loader` wheel."""

    def __init__(self) -> None:
        import espeakng_loader  # type: ignore[import-not-found]  # no requirement of the project: only this command wants it

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.sample_rate = self._library.espeak_Initialize(RETRIEVE, 0, espeakng_loader.get_data_path().encode(), 1)
        self._pieces: list[np.ndarray] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int) -> int:
        if samples and count:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, voice: str, words_per_minute: int, pitch: int) -> np.ndarray:
        """float32 (samples,) in [-1, 1] at `sample_rate`, without silence before and after."""
        self._pieces.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"eSpeak knows no voice {voice!r}")
        self._library.espeak_SetParameter(RATE, words_per_minute, 0)
        self._library.espeak_SetParameter(PITCH, pitch, 0)
        data = text.encode() + b"\0"
        if self._library.espeak_Synth(data, len(data), 0, 1, 0, UTF8, None, None) != 0:
            raise RuntimeError(f"eSpeak could not say {text!r}")
        wave = np.concatenate(self._pieces).astype(np.float32) / 32768
        loud = np.flatnonzero(np.abs(wave) > 0.01)
        return wave[loud[0] : loud[-1] + 1]


def main() -> None:
    espeak = Espeak()
    for name, voice in VOICES.items():
        for index, text in enumerate(LINES):
            wave = espeak.say(text, voice.espeak, voice.words_per_minute, voice.pitch)
            path = voice.path(index)
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, wave, espeak.sample_rate, format="OGG", subtype="VORBIS")
            print(f"{name} {index}: {len(wave) / espeak.sample_rate:.2f} s, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
