"""pyannote.audio's community-1 pipeline: the strongest open diarizer, on a GPU about forty times faster than sound."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from demix import weights
from demix.lazy_module import lazy_module
from demix.media.audio import mono, resample
from demix.models.batches import fitting, torch_device
from demix.models.diarization import Speech
from demix.models.diarization.settings import PyannoteSettings
from demix.models.diarization.words import Word, turns_of
from demix.stage import Resources

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

RATE = 16_000
SET = "pyannote_community_1"


class PyannoteDiarizer:
    """A `Diarizer`. It says nothing of how sure it is, so `confidence` is 1."""

    name: ClassVar[str] = "pyannote"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "MIT (code: pyannote.audio), CC-BY-4.0 (weights: speaker-diarization-community-1)"
    resources: ClassVar[Resources] = Resources(gpus=0.5, pool="diarization")

    @classmethod
    def weights(cls, settings: PyannoteSettings) -> tuple[str, ...]:
        return () if settings.folder else (SET,)

    def __init__(self, settings: PyannoteSettings, device: str = "auto", threads: int = 1):
        from demix.models.diarization.pyannote_pipeline import make_pipeline

        torch.set_num_threads(threads)
        self.settings = settings
        self.pipeline = make_pipeline(Path(settings.folder) if settings.folder else weights.folder(SET))
        self.pipeline.to(torch_device(device))

    def diarize(self, wave: np.ndarray, sample_rate: int) -> Speech:
        """See `Diarizer`."""
        sound = resample(mono(np.atleast_2d(wave)), sample_rate, RATE)
        if not len(sound):
            return Speech(turns=(), confidence=1.0)
        pipeline, given = self.pipeline, {"waveform": torch.from_numpy(sound)[None], "sample_rate": RATE}
        limits = {"min_speakers": self.settings.min_speakers, "max_speakers": self.settings.max_speakers}
        limits = {name: value for name, value in limits.items() if value is not None}

        # The package batches by itself. What did not fit stays smaller for the clips to come.
        def answer_in(batch: int) -> Any:
            pipeline.segmentation_batch_size = min(pipeline.segmentation_batch_size, batch)
            pipeline.embedding_batch_size = min(pipeline.embedding_batch_size, batch)
            return pipeline(given, **limits)

        answer, _ = fitting(answer_in, max(pipeline.segmentation_batch_size, pipeline.embedding_batch_size))
        chosen = answer.exclusive_speaker_diarization if self.settings.exclusive else answer.speaker_diarization
        segments = [Word(turn.start, turn.end, label) for turn, _, label in chosen.itertracks(yield_label=True)]
        return Speech(turns=turns_of(segments, pause_seconds=0.0), confidence=1.0)
