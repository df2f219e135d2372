"""Spleeter 2stems by the `spleeter` package itself, in a process under the interpreter of another environment.

It wants TensorFlow 2.12 and numpy 1, which cannot live beside ours. It is here to compare with (`spleeter` is the same
in PyTorch) and for whoever wants the package and nothing else.
"""

from __future__ import annotations

import os
import selectors
import struct
import subprocess
import time
from collections import deque
from pathlib import Path
from threading import Thread
from typing import IO, ClassVar

import numpy as np

from demix import processes, weights
from demix.config import ConfigError
from demix.models.demixing import TwoStems
from demix.models.demixing.rates import restored, stereo
from demix.models.demixing.settings import SpleeterPackageSettings
from demix.scratch import temporary_folder
from demix.stage import Resources

SERVICE = Path(__file__).with_name("spleeter_service.py")


class SpleeterError(RuntimeError):
    """The process of the package died, hung, or could not take the clip apart."""


class SpleeterPackage:
    """A `TwoStemDemixer`. The process lives as long as the model; one that died is started again for the next clip."""

    name: ClassVar[str] = "spleeter_package"
    revision: ClassVar[str] = "2.4.2"
    licence: ClassVar[str] = "MIT (deezer/spleeter, code and weights)"
    resources: ClassVar[Resources] = Resources(cpus=1, pool="demixing")
    bandwidth_hz: float = 11_025.0

    def __init__(self, settings: SpleeterPackageSettings, device: str = "auto"):
        self.settings = settings
        for python, missing in self.programs(settings):
            if not Path(python).exists():
                raise ConfigError(missing)
        self._folder = temporary_folder()
        lay_out(weights.folder("spleeter_2stems"), Path(self._folder.name))
        self._service: Service | None = None

    @classmethod
    def weights(cls, settings: SpleeterPackageSettings) -> tuple[str, ...]:
        return ("spleeter_2stems",)

    @classmethod
    def programs(cls, settings: SpleeterPackageSettings) -> tuple[tuple[str, str], ...]:
        missing = (
            f"{settings.python}: there is no interpreter with Spleeter; run `make spleeter-env`, or set "
            "demixing.spleeter_package.python. demixing.two=spleeter needs none: it is the same in PyTorch"
        )
        return ((settings.python, missing),)

    def separate(self, wave: np.ndarray, sample_rate: int, seed: int) -> TwoStems:
        """See `TwoStemDemixer`; nothing in here is random. Raises `SpleeterError`."""
        if wave.shape[1] == 0:
            return TwoStems(wave, wave)
        if self._service is None or not self._service.alive:
            self._service = Service(self.settings, Path(self._folder.name))
        stems = self._service.separate(stereo(wave, sample_rate))
        return TwoStems(*(restored(stem, wave, sample_rate) for stem in stems))


def lay_out(released: Path, folder: Path) -> None:
    """The released files as the package looks for them; its mark says that nothing is to be downloaded."""
    model = folder / "2stems"
    model.mkdir()
    for file in released.iterdir():
        if not file.name.startswith("."):
            (model / file.name).symlink_to(file.absolute())
    (model / ".probe").write_text("OK")


class Service:
    """The process, and the talk with it."""

    def __init__(self, settings: SpleeterPackageSettings, models: Path):
        self.settings = settings
        environment = {**os.environ, "MODEL_PATH": str(models), "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.process = processes.popen(
            # Isolated: the folder of the script, which holds a `spleeter.py` of ours, is not searched.
            [settings.python, "-I", str(SERVICE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._questions, self._answers = self.process.stdin, self.process.stdout
        os.set_blocking(self._answers.fileno(), False)
        self._said: deque[bytes] = deque(maxlen=20)
        # Read all the time: a process whose stderr is full would wait for ever.
        Thread(target=self._listen, args=(self.process.stderr,), daemon=True).start()
        self._count(time.monotonic() + settings.start_seconds)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def separate(self, wave: np.ndarray) -> np.ndarray:
        """(vocals, accompaniment; 2, samples) of `wave` (2, samples) at 44.1 kHz."""
        samples = wave.shape[1]
        deadline = time.monotonic() + self.settings.clip_seconds
        try:
            self._questions.write(struct.pack("<q", samples) + wave.T.astype("<f4").tobytes())
            self._questions.flush()
        except BrokenPipeError as error:
            raise SpleeterError(f"the process ended: {self._tail()}") from error
        if self._count(deadline) != samples:
            raise SpleeterError("the process answered out of turn")
        content = self._read(2 * samples * 8, deadline)
        return np.frombuffer(content, "<f4").reshape(2, samples, 2).transpose(0, 2, 1).astype(np.float32)

    def _count(self, deadline: float) -> int:
        count = int(struct.unpack("<q", self._read(8, deadline))[0])
        if count >= 0:
            return count
        size = int(struct.unpack("<q", self._read(8, deadline))[0])
        raise SpleeterError(self._read(size, deadline).decode(errors="replace"))

    def _read(self, size: int, deadline: float) -> bytes:
        content = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            while len(content) < size:
                if not selector.select(max(deadline - time.monotonic(), 0)):
                    self.process.kill()
                    self.process.wait()  # Until then it would still count as alive, for the next clip.
                    raise SpleeterError(f"the process did not answer in time: {self._tail()}")
                part = os.read(self._answers.fileno(), min(size - len(content), 1 << 20))
                if not part:
                    self.process.wait()
                    raise SpleeterError(f"the process ended with {self.process.returncode}: {self._tail()}")
                content += part
        return bytes(content)

    def _listen(self, errors: IO[bytes]) -> None:
        for line in errors:
            self._said.append(line)

    def _tail(self) -> str:
        return b"".join(self._said).decode(errors="replace").strip()[-2000:] or "it said nothing"

    def close(self) -> None:
        self._questions.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def __del__(self) -> None:
        if hasattr(self, "process") and self.alive:
            self.process.kill()
            self.process.wait()
