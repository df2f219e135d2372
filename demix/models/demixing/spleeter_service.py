"""Runs under the interpreter of the Spleeter environment, which has no demix: separates waves that come by stdin.

    python -I spleeter_service.py       MODEL_PATH names the folder that holds `2stems`

A message is a count of samples (8 bytes, little-endian), then float32 (samples, 2). The answer is the same count and
the vocals, then the accompaniment, in the same form; or -1, a count of bytes, and an error in UTF-8. At the start one
message says that the model is ready (a count of 0). Only what the Python of that environment has is used here.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable
from typing import IO


def main() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not end up among the answers
    try:
        separate = _open()
    except Exception as error:
        _fail(answers, error)
        return
    _send(answers, struct.pack("<q", 0))
    questions = sys.stdin.buffer
    while header := questions.read(8):
        samples = struct.unpack("<q", header)[0]
        content = questions.read(samples * 8)
        try:
            _send(answers, struct.pack("<q", samples) + b"".join(separate(content, samples)))
        except Exception as error:
            _fail(answers, error)


def _open() -> Callable[[bytes, int], list[bytes]]:
    import numpy
    from spleeter.separator import Separator  # type: ignore[import-not-found]

    separator = Separator("spleeter:2stems", multiprocess=False)

    def separate(content: bytes, samples: int) -> list[bytes]:
        stems = separator.separate(numpy.frombuffer(content, "<f4").reshape(samples, 2))
        return [numpy.ascontiguousarray(stems[name], "<f4").tobytes() for name in ("vocals", "accompaniment")]

    return separate


def _send(answers: IO[bytes], content: bytes) -> None:
    answers.write(content)
    answers.flush()


def _fail(answers: IO[bytes], error: Exception) -> None:
    text = f"{type(error).__name__}: {error}".encode()
    _send(answers, struct.pack("<qq", -1, len(text)) + text)


if __name__ == "__main__":
    main()
