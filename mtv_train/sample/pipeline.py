"""MTV as a diffusers pipeline: a text, three (or four) sound tracks and pictures to a video of one window."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDPMScheduler, DiffusionPipeline, SchedulerMixin
from diffusers.utils import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor
from transformers import PreTrainedTokenizerBase, T5EncoderModel, Wav2Vec2Model

from demix.config import ConfigError
from mtv_train.data.batch import ClipWaves
from mtv_train.data.encoders import Heard, SoundEncoder, TextEncoder
from mtv_train.data.prompt import prompt_text
from mtv_train.data.settings import WindowSettings
from mtv_train.model.audio import AudioWindows
from mtv_train.model.conditions import Conditions
from mtv_train.model.transformer import MTVTransformer3DModel
from mtv_train.model.wav2vec import SAMPLE_RATE, AudioEncoder
from mtv_train.sample.decoder import Decoder, Finish, to_bytes, to_floats
from mtv_train.sample.denoise import Clean, Generators, OnStep, denoise
from mtv_train.sample.guidance import Guidance, guided
from mtv_train.sample.pictures import encode, latent_frame, still
from mtv_train.sample.shape import Shape, check_keyframes
from mtv_train.sample.track import Track

Sound = Mapping[str, Track]
"""Track name (speech, effects, music; speech2 of a two-speaker model) to its sound. What is absent is silent."""
LOADER = "mtv_pipeline"
LOADER_TEXT = '''\
"""Tells diffusers of MTV's pipeline. The class itself is in the package mtv_train, which has to be installed."""

from mtv_train.sample.pipeline import MTVPipeline

__all__ = ["MTVPipeline"]
'''
OUTPUTS = ("uint8", "pil", "np", "pt")
Callback = Callable[[Any, int, Tensor, dict[str, Tensor]], dict[str, Tensor]]


@dataclass
class MTVPipelineOutput(BaseOutput):
    """`frames`: a list of lists of pictures (`pil`), or an array or tensor, of all videos of the batch."""

    frames: list[list[Image.Image]] | np.ndarray | Tensor


class MTVPipeline(DiffusionPipeline):
    """Samples MTV (paper section 5; release). Of what diffusers does with pipelines and their models these work:
    folders, other schedulers, offloading, `vae.enable_tiling()`, `transformer.compile_repeated_blocks()` and
    `transformer.enable_gradient_checkpointing()`. The transformer's `enable_cache()`, `set_attention_backend()` and
    `add_adapter()` do not, and say so."""

    model_cpu_offload_seq = "text_encoder->transformer->vae"
    # Small, and not called as a module: it stays where the work is done.
    _exclude_from_cpu_offload = ["audio_encoder"]  # noqa: RUF012
    _callback_tensor_inputs = ["latents"]  # noqa: RUF012

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: T5EncoderModel,
        audio_encoder: Wav2Vec2Model,
        vae: AutoencoderKLCogVideoX,
        transformer: MTVTransformer3DModel,
        scheduler: SchedulerMixin | CogVideoXDPMScheduler,
        fps: str = "24",
        prompt_style: str = "paper",
        official_alignment: bool = False,
    ):
        """`fps`: frames a second that the model was trained at; `prompt_style` and `official_alignment`: how its texts
        and sounds were prepared (`data.window.prompt`, `model.official_alignment` of its recipe)."""
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            audio_encoder=audio_encoder,
            vae=vae,
            transformer=transformer,
            scheduler=scheduler,
        )
        self.register_to_config(fps=fps, prompt_style=prompt_style, official_alignment=official_alignment)

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str] = "",
        sound: Sound | Sequence[Sound] | None = None,
        *,
        keyframes: Mapping[int, Image.Image] | None = None,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 3.5,
        audio_guidance_scale: float | None = None,
        batched_guidance: bool = True,
        generator: Generators = None,
        latents: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: Callback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> MTVPipelineOutput | tuple[Any]:
        """Videos of `num_frames` frames (1 + 4n; 49 by default), one for each prompt.

        `sound`: one for all prompts, or one each. Its tracks begin with the video; what is shorter ends in silence.
        `keyframes`: frame number to picture, of every video; each fixes its latent frame (four frames, the first
        one). `guidance_scale` 1 is none; with `audio_guidance_scale` it is the text's alone (`Guidance`).
        `batched_guidance=False` asks its branches one by one: slower, and less memory. `latents`: the noise to start
        from. `output_type`: `pil`, `np`, `pt` (0..1) or `latent` (scaled latents). Raises `ValueError` for sizes, frame
        counts and keyframes that cannot be, before anything is computed.
        """
        if unknown := set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs):
            raise ValueError(f"callbacks are given {self._callback_tensor_inputs}, not {sorted(unknown)}")
        shape = self.shape(num_frames, height, width)
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        sounds = [sound or {}] * len(prompts) if sound is None or isinstance(sound, Mapping) else list(sound)
        if len(sounds) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts and {len(sounds)} sounds: give one for all, or one each")
        check_keyframes(keyframes or {}, shape)
        told = Conditions.cat(
            [
                self.told(self.read(text), self.listen(heard, shape, [0])[0])
                for text, heard in zip(prompts, sounds, strict=True)
            ]
        )
        noise = self.noise(shape, len(prompts), generator) if latents is None else latents
        clean = self.clean(keyframes, shape).expanded(len(prompts)) if keyframes else None
        guidance = Guidance(guidance_scale, audio_guidance_scale)

        def on_step(index: int, time: Tensor, now: Tensor) -> Tensor:
            progress.update()
            if callback_on_step_end is None:
                return now
            given = dict.fromkeys(callback_on_step_end_tensor_inputs, now)
            return (callback_on_step_end(self, index, time, given) or {}).get("latents", now)

        self.scheduler.set_timesteps(num_inference_steps, device=self.work_device)
        with self.progress_bar(total=len(self.scheduler.timesteps)) as progress:
            done = self.denoised(told, noise, guidance, clean, generator, on_step, together=batched_guidance)
        video: Any = done if output_type == "latent" else self.shown(done, output_type)
        self.maybe_free_model_hooks()
        return MTVPipelineOutput(video) if return_dict else (video,)

    def save_pretrained(self, save_directory: str | os.PathLike[str], *given: Any, **options: Any) -> None:
        """As diffusers does, and a file besides by which it finds this class in a process that knows nothing of it:
        `DiffusionPipeline.from_pretrained(FOLDER, custom_pipeline="mtv_pipeline", trust_remote_code=True)`."""
        super().save_pretrained(save_directory, *given, **options)
        (Path(save_directory) / f"{LOADER}.py").write_text(LOADER_TEXT, encoding="utf-8")

    # --- the parts, for long videos and transitions --------------------------------------------------------------

    @property
    def fps(self) -> Fraction:
        """Frames a second."""
        return Fraction(self.config.fps)

    @property
    def work_device(self) -> torch.device:
        """Where it computes, wherever its parts wait (offloading)."""
        device: torch.device = self._execution_device
        return device

    @property
    def tracks(self) -> tuple[str, ...]:
        """Tracks that the model hears."""
        heard: tuple[str, ...] = self.transformer.settings.tracks
        return heard

    def shape(self, frames: int | None = None, height: int | None = None, width: int | None = None) -> Shape:
        """The size of a video, where nothing is given the one that the model was made for."""
        return Shape.of(self.transformer.backbone, frames, height, width)

    def read(self, text: str) -> Tensor:
        """A text's embedding (1, tokens, dim), prepared as in training; zeros ("not told") for an empty one."""
        tokens, dim = (self.transformer.backbone[name] for name in ("max_text_seq_length", "text_embed_dim"))
        if not text:
            return torch.zeros(1, tokens, dim)
        return self._writer.encode(prompt_text(text, self.config.prompt_style))

    def unread(self, text: str) -> str:
        """The end of a text that is longer than the text encoder takes; nothing of a shorter one."""
        return self._writer.unread(prompt_text(text, self.config.prompt_style)) if text else ""

    @property
    def _writer(self) -> TextEncoder:
        return TextEncoder(self.tokenizer, self.text_encoder, self.transformer.backbone["max_text_seq_length"])

    def listen(self, sound: Sound, shape: Shape, firsts: Sequence[int]) -> list[AudioWindows]:
        """What is heard in the windows of `shape.frames` frames that begin at frames `firsts`.

        The encoder hears the whole sound, up to the end of the last window. Raises `ConfigError` for a track that the
        model does not know.
        """
        heard = self.hear(sound, max(firsts) + shape.frames)
        return [self.heard(heard, shape, first) for first in firsts]

    def hear(self, sound: Sound, frames: int) -> Heard:
        """The sound of a whole video of `frames` frames, encoded. Raises `ConfigError` as `listen`."""
        if unknown := set(sound) - set(self.tracks):
            raise ConfigError(f"the model hears {', '.join(self.tracks)}; it knows no {', '.join(sorted(unknown))}")
        seconds, official = frames / self.fps, self.config.official_alignment
        waves = {name: torch.zeros(round(seconds * SAMPLE_RATE)) for name in self.tracks}
        for name, track in sound.items():
            # The release hears the whole of a sound, however much of it the video shows.
            waves[name] = torch.from_numpy(track.heard(SAMPLE_RATE, track.seconds if official else seconds))
        window = WindowSettings(fps=self.config.fps, sample_rate=SAMPLE_RATE, tracks=self.tracks)
        encoder = SoundEncoder(AudioEncoder(self.audio_encoder), window, official_alignment=official, sampling=True)
        return encoder.hear(ClipWaves(waves, frames, 0))

    def heard(self, heard: Heard, shape: Shape, first: int) -> AudioWindows:
        """What of it is heard in the window that begins at frame `first`."""
        window = heard.window(first, shape.frames, self.transformer.settings.audio_window)
        return AudioWindows(**{name: track.float() for name, track in window.windows().items()})

    def told(self, text: Tensor, audio: AudioWindows) -> Conditions:
        """Text and sound where the transformer computes, in its precision."""
        return Conditions(text, audio).to(self.work_device, self.transformer.dtype)

    def noise(self, shape: Shape, batch: int, generator: Generators, latent_frames: int | None = None) -> Tensor:
        """Where sampling begins, float32; drawn on the generator's device, so that GPUs of all kinds begin alike."""
        size = (batch, latent_frames or shape.latent_frames, self.transformer.backbone["out_channels"])
        if isinstance(generator, list) and len(generator) != batch:
            raise ValueError(f"{len(generator)} generators for {batch} videos: give one for all, or one each")
        noise = randn_tensor(
            (*size, *shape.latent_size), generator=generator, device=self.work_device, dtype=torch.float32
        )
        return noise * self.scheduler.init_noise_sigma

    def clean(self, keyframes: Mapping[int, Image.Image], shape: Shape, part: slice | None = None) -> Clean:
        """Pictures as latent frames that are kept; batch 1. Each is encoded as a film that shows it alone. `part`: of a
        longer video, the latent frames that are meant; `keyframes` are always frames of the whole."""
        first, end = (0, shape.latent_frames) if part is None else (part.start, part.stop)
        device, scale = self.work_device, self.vae.config.scaling_factor
        size = (self.transformer.backbone["out_channels"], *shape.latent_size)
        clean = Clean(torch.zeros(1, end - first, dtype=torch.bool), torch.zeros(1, end - first, *size)).to(device)
        for frame, picture in keyframes.items():
            place = latent_frame(frame)
            if first <= place < end:
                video = still(picture, place, shape.height, shape.width)
                clean.frames[:, place - first] = True
                clean.latents[:, place - first] = encode(self.vae, video, scale, device)[:, -1].to(device)
        return clean

    def denoised(
        self,
        told: Conditions,
        noise: Tensor,
        guidance: Guidance,
        clean: Clean | None = None,
        generator: Generators = None,
        on_step: OnStep | None = None,
        *,
        together: bool = True,
    ) -> Tensor:
        """Scaled latents of one window, float32. The scheduler's timesteps must have been set."""
        frames = None if clean is None else clean.frames

        def predict(latents: Tensor, timestep: Tensor) -> Tensor:
            return guided(self.transformer, latents, timestep, told, guidance, frames, together=together)

        start = noise.to(self.work_device, torch.float32)
        return denoise(predict, self.scheduler, start, clean=clean, generator=generator, on_step=on_step)

    def decoder(self, finish: Finish = to_bytes) -> Decoder:
        """Decodes the latents of one video as they are made."""
        return Decoder(self.vae, self.vae.config.scaling_factor, self.work_device, finish)

    def shown(self, latents: Tensor, output_type: str = "uint8") -> Any:
        """The pictures of latents: `uint8` (batch, frames, height, width, 3) on the CPU, or as in `__call__`."""
        if output_type not in OUTPUTS:
            raise ValueError(f"output_type {output_type!r}: there are {', '.join(OUTPUTS)}, latent")
        decoder = self.decoder(to_floats if output_type in ("np", "pt") else to_bytes)
        video = torch.cat(list(decoder.feed(latents, last=True)), 1)
        if output_type == "pil":
            return [[Image.fromarray(picture) for picture in one.numpy()] for one in video]
        if output_type == "np":
            return video.numpy()
        return video.permute(0, 1, 4, 2, 3) if output_type == "pt" else video


# `DiffusionPipeline.from_pretrained` looks the class named in model_index.json up among diffusers' own.
diffusers.MTVPipeline = MTVPipeline
