"""The three parts of a cache, each a stage of the engine: latents, text embeddings, audio features.

What a part's fingerprint covers: the encoder and its revision, its precision, and those settings of the window that
change the part. The content that it is made of is in the clip's id. So a new caption makes a new embedding and no new
latents, and another dataset with the same clips finds them done.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from safetensors.torch import save
from torch import Tensor

from demix.config import Settings
from demix.records import Media, Record
from demix.stage import Context, Failed, Item, Kept, Outcome, Resources, Stage
from mtv_train.config import TrainSettings
from mtv_train.data.cached import CachedPart, text_file, track_fields, window_file
from mtv_train.data.encoders import SoundEncoder, TextEncoder, VideoEncoder
from mtv_train.data.errors import SampleError
from mtv_train.data.settings import WindowSettings
from mtv_train.data.shards import Shards
from mtv_train.data.video import decode_window
from mtv_train.data.window import heard_waves, read_caption, read_waves
from mtv_train.precompute.clip import TrainingClip
from mtv_train.train.components import revisions
from mtv_train.train.encoding import sound_encoder, text_encoder, video_encoder

Tensors = Mapping[str, Tensor]


class Encoded(Record):
    """The files of one clip."""

    name: ClassVar[str] = "encoded"
    files: tuple[Media, ...]
    unread: str = ""
    """The end of a caption that is longer than the text encoder takes."""


class PartSettings(Settings):
    """What a part's numbers depend on, besides the encoder and the content."""

    window: dict[str, object]
    """Those of `data.window` that matter to it."""


class Part(Stage):
    """Reads a clip's members and writes what an encoder makes of them. `run` are the settings of the training run."""

    adds = Encoded
    name: ClassVar[CachedPart]
    window_fields: ClassVar[set[str]]
    """The window's settings that change what is made."""
    timeout_seconds = 3600.0

    def __init__(self, run: TrainSettings):
        self.part = PartSettings(window=run.data.window.model_dump(mode="json", include=self.window_fields))
        super().__init__(self.part)
        self.run_settings = run

    @property
    def window(self) -> WindowSettings:
        return self.run_settings.data.window

    @abstractmethod
    def fields(self) -> tuple[str, ...]:
        """The members that it is made of."""

    def revision(self) -> str:
        """The encoder's revision, and the precision that it computes in."""
        return f"{revisions(self.run_settings.model, self.run_settings.seed)[self.name]} {self.precision}"

    @property
    def precision(self) -> str:
        return self.run_settings.parallel.precision

    def media(self, record: Record) -> tuple[str, ...]:
        assert isinstance(record, Encoded)
        return tuple(file.key for file in record.files)

    def open(self, context: Context) -> None:
        super().open(context)
        torch.set_num_threads(context.threads)
        cuda = context.device == "cuda" or (context.device == "auto" and torch.cuda.is_available())
        self.load(torch.device("cuda" if cuda else "cpu"))

    @abstractmethod
    def load(self, device: torch.device) -> None:
        """Makes the encoder."""

    @abstractmethod
    def encode(self, clip: TrainingClip, data: Mapping[str, bytes]) -> Iterator[tuple[str, Tensors | SampleError]]:
        """(store key, what belongs there or why it cannot be made) of everything that is made of the clip."""

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [self._one(item.subject) for item in items]

    def _one(self, clip: object) -> Outcome:
        assert isinstance(clip, TrainingClip)
        shards = Shards((clip.shard,), self.run_settings.data.storage_options, read_ahead_bytes=0)
        made: list[Media] = []
        bad: list[str] = []
        try:
            # All of a clip's windows that can be made are: training replaces the others, and only those.
            for key, tensors in self.encode(clip, shards.read(clip.row, self.fields())):
                if isinstance(tensors, SampleError):
                    bad.append(str(tensors))
                else:
                    made.append(self._write(key, tensors))
        except SampleError as error:
            return Failed("SampleError", str(error), retryable=error.kind == "read")
        return Failed("SampleError", "; ".join(bad)) if bad else Kept(self.encoded(tuple(made)))

    def encoded(self, files: tuple[Media, ...]) -> Encoded:
        """What is recorded of the clip that was encoded last."""
        return Encoded(files=files)

    def _write(self, key: str, tensors: Tensors) -> Media:
        data = save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()})
        with self.context.store.write(key) as path:
            path.write_bytes(data)
        return Media(key=key, bytes=len(data))


class LatentsPart(Part):
    """The VAE's posterior of every window: mean and log-variance, from which training draws."""

    name = "latents"
    window_fields: ClassVar[set[str]] = {"frames", "fps", "stride", "height", "width"}
    resources = Resources(cpus=1, gpus=0.5, pool="latents")  # two a GPU: one decodes while the other encodes

    def fields(self) -> tuple[str, ...]:
        return ("mp4",)

    def load(self, device: torch.device) -> None:
        self.encoder: VideoEncoder = video_encoder(self.run_settings, device)

    def encode(self, clip: TrainingClip, data: Mapping[str, bytes]) -> Iterator[tuple[str, Tensors | SampleError]]:
        for first in clip.firsts:
            key = window_file(clip.id, self.context.fingerprint, first)
            try:
                pictures = torch.from_numpy(decode_window(data["mp4"], clip.clip, first, self.window))
            except SampleError as error:
                yield key, error
                continue
            latents = self.encoder.encode(pictures)
            yield key, {"mean": latents.mean, "logvar": latents.logvar}


class AudioPart(Part):
    """wav2vec2's hidden layers of every window, all tracks in one file."""

    name = "audio"
    window_fields: ClassVar[set[str]] = {
        "frames", "fps", "stride", "sample_rate", "tracks", "audio_context", "audio_radius"
    }  # fmt: skip
    resources = Resources(cpus=1, gpus=0.25, pool="audio")

    def fields(self) -> tuple[str, ...]:
        return track_fields(self.window)

    def revision(self) -> str:
        alignment = "release" if self.run_settings.model.official_alignment else "time"
        return f"{super().revision()} {alignment}"

    @property
    def precision(self) -> str:
        return "float32"

    def load(self, device: torch.device) -> None:
        self.encoder: SoundEncoder = sound_encoder(self.run_settings, device)

    def encode(self, clip: TrainingClip, data: Mapping[str, bytes]) -> Iterator[tuple[str, Tensors | SampleError]]:
        whole = read_waves(clip.window(0), data, self.window)
        if self.window.audio_context == "clip":
            encoded = self.encoder.encode_windows(whole, clip.firsts)
        else:
            alone = (heard_waves(replace(whole, first=first), self.window) for first in clip.firsts)
            encoded = [self.encoder.encode(waves) for waves in alone]
        for first, features in zip(clip.firsts, encoded, strict=True):
            yield window_file(clip.id, self.context.fingerprint, first), features.tracks


class TextPart(Part):
    """T5's embedding of the caption, kept by the text's hash: one for all clips that share it."""

    name = "text"
    window_fields: ClassVar[set[str]] = {"prompt"}
    resources = Resources(cpus=1, gpus=1.0, pool="text")

    def fields(self) -> tuple[str, ...]:
        return ("txt",)

    def revision(self) -> str:
        return f"{super().revision()} {self.run_settings.model.backbone.max_text_seq_length} tokens"

    def load(self, device: torch.device) -> None:
        self.encoder: TextEncoder = text_encoder(self.run_settings, device)

    def encode(self, clip: TrainingClip, data: Mapping[str, bytes]) -> Iterator[tuple[str, Tensors | SampleError]]:
        caption = read_caption(clip.window(0), data["txt"], self.window)
        self.unread = self.encoder.unread(caption)
        yield text_file(caption, self.context.fingerprint), {"text": self.encoder.encode(caption)}

    def encoded(self, files: tuple[Media, ...]) -> Encoded:
        return Encoded(files=files, unread=self.unread)


PARTS: dict[CachedPart, type[Part]] = {part.name: part for part in (LatentsPart, TextPart, AudioPart)}
