"""Cuts one clip out of its source: the frames of [start_pts, end_pts) at a fixed rate, and exactly as long a sound."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import soundfile
from pydantic import Field, field_validator

from demix.config import Added, Settings
from demix.errors import MachineSuspected
from demix.lazy_module import lazy_module
from demix.machine import check_room
from demix.media import sandbox
from demix.media.colour import is_rgb, source_of, write_table
from demix.media.command import (
    Crop,
    Opened,
    Recipe,
    SoundRecipe,
    check_runs,
    decode_command,
    encode_command,
    ffmpeg_binary,
    film_command,
    table_beside,
)
from demix.media.container import Part
from demix.media.errors import MediaError
from demix.media.layouts import GAINS, by_count, pan, pan_one
from demix.media.limits import MediaLimits
from demix.media.parts import pictures_of, sound_for, within_part
from demix.media.sound import Sound, assemble, write_raw
from demix.records import AudioStream, Bars, Clip, Probe, VideoStream
from demix.scratch import temporary_folder

av: Any = lazy_module("av")

SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
"""Hz that AAC can carry; other rates are raised to the next of these."""

_FRAME_LINE = re.compile(rb"^frame:\d+\s+pts:(-?\d+)", re.MULTILINE)
_INDEXED_MARGIN, _MPEG_MARGIN, _FAR_MARGIN = Fraction(1, 2), Fraction(3), Fraction(20)
"""Seconds before the clip at which to begin decoding. MPEG streams have no index: they are sought by position, land on
any frame, and are decodable from the next key frame on only."""
_AUDIO_MARGIN = Fraction(3)
"""Seconds before the clip from which sound is decoded: interleaving, bit reservoirs and overlapping windows."""
_REORDERED = 16
"""Frames by which decoding order and display order differ at most, in any codec."""


class CutSettings(Settings):
    """How a clip is written."""

    fps: str = "24"
    """Frames per second of the clip: a number, a ratio such as 24000/1001, or `native` for the source's own average.
    24 is what MTV trains on. Each output frame shows the source frame that is on the screen at that moment."""
    short_side: int = Field(default=480, ge=16)
    """Pixels of the shorter side, 16 or more. Smaller sources keep their size (made even); nothing is ever enlarged.
    480 is what MTV trains on."""
    crf: int = Field(default=18, ge=0, le=51)
    """x264's constant rate factor, 0 (lossless) to 51. 18 is visually transparent."""
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"] = "veryfast"
    """x264's preset. Slower ones save bytes at the same crf, not much quality."""
    keyframe_seconds: float = Field(default=2.0, gt=0)
    """Longest distance between key frames, seconds: what a reader decodes at most to reach a frame."""
    audio_bitrate: int = Field(default=192, ge=32, le=512)
    """kbit/s of the AAC track inside the mp4. The exact mix is the FLAC beside it."""
    flac_bits: Literal[16, 24] = 16
    """Bits of a FLAC sample. 16 is below the noise floor of film sound."""
    max_sample_rate: int = Field(default=48000, ge=8000)
    """Hz. Sources with more are resampled to it, others keep their rate."""
    crop_bars: Annotated[bool, Added()] = True
    """Whether black bars are cut off. What they are is recorded either way; clips of films that were indexed before
    bars were measured keep theirs."""
    ffmpeg: str = ""
    """Path or name of an ffmpeg (6 or newer, with libx264) to use instead of imageio-ffmpeg's; empty: that one."""

    @field_validator("fps")
    @classmethod
    def _known_rate(cls, value: str) -> str:
        if value != "native" and not 0 < Fraction(value) <= 240:
            raise ValueError("must be native, or a number or ratio above 0 and up to 240")
        return value


@dataclass(frozen=True)
class Cut:
    """What was written."""

    width: int
    height: int
    fps: Fraction
    frames: int
    sample_rate: int
    channels: int
    samples: int
    layout: str
    gain_db: float
    centre_db: float | None
    rest_db: float | None
    cropped: bool


def cut(
    source: Path, probe: Probe, clip: Clip, video: Path, mix: Path, settings: CutSettings, limits: MediaLimits
) -> Cut:
    """Writes `video` (mp4: H.264 yuv420p, AAC) and `mix` (FLAC, 1 or 2 channels) and returns their facts.

    Raises `MediaError`; `ValueError` for a source without sound. The same source, clip, settings and ffmpeg give the
    same bytes.
    """
    probe, clip = within_part(probe, clip)
    if probe.audio is None:
        raise ValueError(f"{clip.id}: the source has no sound")
    recipe = _recipe(probe, clip, settings)
    sound = _sound_recipe(probe, probe.audio, clip, settings, Fraction(recipe.frames) / recipe.fps)
    with temporary_folder() as folder:
        track = Path(folder) / "track.m4a"
        written = (track.parent, video.parent, mix.parent)
        job = _Job(source, probe, clip, recipe, ffmpeg_binary(settings.ffmpeg), limits, written)
        if recipe.colours:
            write_table(table_beside(track), *recipe.colours)
        heard = job.cut_sound(probe.audio, sound, mix, track)
        job.cut_pictures(track, video)
    _check(recipe, sound, video, mix)
    return Cut(
        width=recipe.width,
        height=recipe.height,
        fps=recipe.fps,
        frames=recipe.frames,
        sample_rate=sound.sample_rate,
        channels=sound.channels,
        samples=sound.samples,
        layout=sound.layout,
        gain_db=heard.gain_db,
        centre_db=heard.centre_db,
        rest_db=heard.rest_db,
        cropped=recipe.crop is not None,
    )


@dataclass(frozen=True)
class _Job:
    source: Path
    probe: Probe
    clip: Clip
    recipe: Recipe
    binary: str
    limits: MediaLimits
    written: tuple[Path, ...]
    """Folders that the programs write to."""

    def cut_sound(self, audio: AudioStream, recipe: SoundRecipe, mix: Path, track: Path) -> Sound:
        part, by_time = sound_for(self.probe, self.clip)
        margin = _AUDIO_MARGIN if by_time else None
        seek = _seek(self.clip.start - _sound_offset(self.probe), margin, audio)
        decoded, raw = track.with_name("decoded.nut"), track.with_name("samples.raw")
        with _opened(self.source, part) as source:
            self._run(decode_command(self.binary, recipe, self.limits, source, seek, decoded), source)
        sound = assemble(decoded, recipe, _channel_names(audio))
        write_raw(raw, sound.wave, recipe.flac_bits)
        self._run(encode_command(self.binary, recipe, raw, mix, track))
        return sound

    def cut_pictures(self, track: Path, video: Path) -> None:
        reordering = _REORDERED / Fraction(self.probe.video.average_rate)
        first_margin = _MPEG_MARGIN if self.probe.container in ("mpeg", "mpegts") else _INDEXED_MARGIN
        for margin in (max(first_margin, reordering), _FAR_MARGIN, None):
            seek = _seek(self.clip.start, margin, self.probe.video)
            with _opened(self.source, pictures_of(self.probe)) as source:
                printed = self._run(
                    film_command(self.binary, self.recipe, self.limits, source, seek, track, video), source
                )
            if seek is None or _began_early(printed, self.clip, reordering):
                return

    def _run(self, command: list[str], source: Opened | None = None) -> bytes:
        fds = () if source is None else (source.descriptor,)
        try:
            return sandbox.run(command, self.limits, seconds=self.limits.cut_seconds, fds=fds)
        except MachineSuspected:
            check_room(self.written)
            raise
        except MediaError as error:
            if error.kind in ("crash", "decode"):
                check_runs(self.binary, self.limits)
            raise


def _began_early(printed: bytes, clip: Clip, reordering: Fraction) -> bool:
    """Whether decoding began at a key frame so far ahead that no frame of the clip missed what it is predicted from.

    Frames before a key frame in display order but after it in the file may come out of a decoder damaged.
    """
    first = _FRAME_LINE.search(printed)
    return first is not None and int(first[1]) * Fraction(clip.time_base) <= clip.start - reordering / 2


def _recipe(probe: Probe, clip: Clip, settings: CutSettings) -> Recipe:
    video = probe.video
    fps = Fraction(video.average_rate if settings.fps == "native" else settings.fps)
    tick = Fraction(clip.time_base)
    crop, shown = _crop(video, clip.bars) if settings.crop_bars else (None, (video.width, video.height))
    width, height = _size(*shown, settings.short_side)
    colours = source_of(video)
    return Recipe(
        video_index=video.index,
        start_pts=clip.start_pts,
        end_pts=clip.end_pts,
        # Where a frame lasts many ticks, its stamp was rounded; where it lasts one, the stamp is exact.
        stamp_slack=1 if tick * Fraction(video.average_rate) < Fraction(1, 8) else 0,
        fps=fps,
        # Whole frames only, so that nothing of the next shot is heard; a span rounded down by one tick still counts.
        frames=max(1, int((clip.seconds + tick) * fps)),
        width=width,
        height=height,
        rotation=video.rotation,
        mirrored=video.mirrored,
        crop=crop,
        fields=video.fields,
        first_field=video.first_field,
        time_base=clip.time_base,
        colours=(*colours, video.peak_nits) if colours else None,
        rgb=is_rgb(video.pixel_format),
        keyframe_interval=max(1, round(settings.keyframe_seconds * fps)),
        crf=settings.crf,
        preset=settings.preset,
    )


def _sound_recipe(
    probe: Probe, audio: AudioStream, clip: Clip, settings: CutSettings, seconds: Fraction
) -> SoundRecipe:
    """`seconds` is the length of the pictures."""
    sample_rate = _sample_rate(audio.sample_rate, settings.max_sample_rate)
    start = clip.start - _sound_offset(probe)
    origin = math.floor(start) - 1
    return SoundRecipe(
        tracks=_tracks(audio),
        layout=audio.layout,
        channels=min(audio.channels, 2),
        sample_rate=sample_rate,
        origin=origin,
        first_sample=round((start - origin) * sample_rate),
        samples=round(seconds * sample_rate),
        audio_bitrate=settings.audio_bitrate,
        flac_bits=settings.flac_bits,
    )


def _sound_offset(probe: Probe) -> Fraction:
    """Seconds by which libav's clock of the pictures is ahead of its clock of the sound.

    AVI has no time stamps: both streams begin together, but pictures are stamped by when their decoder gives them out.
    """
    return probe.video.start_pts * Fraction(probe.video.time_base) if probe.container == "avi" else Fraction(0)


def _tracks(audio: AudioStream) -> tuple[tuple[int, str], ...]:
    """Index of each stream that is heard, and how its channels are placed."""
    if audio.joined:
        placed = zip(audio.joined, audio.channel_names, strict=True)
        return tuple((index, pan_one(name)) for index, name in placed if any(GAINS[name]))
    return ((audio.index, pan(_channel_names(audio))),)


def _channel_names(audio: AudioStream) -> tuple[str, ...]:
    return audio.channel_names or by_count(audio.channels)


def _size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Even width and height: the shorter side `short_side` or that of the picture shown, whichever is less."""
    scale = min(Fraction(1), Fraction(short_side, min(width, height)))
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def _crop(video: VideoStream, bars: Bars | None) -> tuple[Crop | None, tuple[int, int]]:
    """What is left without the bars, and its displayed width and height. Rounded inwards to even lines: fields are
    whole frames by then, so that chroma asks for no more."""
    shown = video.width, video.height
    if bars is None or not any(bars.sides):
        return None, shown
    stored = (video.stored_width, video.stored_height) if video.stored_width else shown
    size = stored[::-1] if video.rotation in (90, 270) and video.stored_width else stored
    across, down = (Fraction(part, whole) for part, whole in zip(size, shown, strict=True))
    left, right = (2 * math.ceil(round(bar * across) / 2) for bar in (bars.left, bars.right))
    top, bottom = (2 * math.ceil(round(bar * down) / 2) for bar in (bars.top, bars.bottom))
    width, height = (size[0] - left - right) // 2 * 2, (size[1] - top - bottom) // 2 * 2
    return Crop(*size, left, top, width, height), (max(1, round(width / across)), max(1, round(height / down)))


def _sample_rate(source: int, most: int) -> int:
    allowed = [rate for rate in SAMPLE_RATES if rate <= most]
    return next((rate for rate in allowed if rate >= source), allowed[-1])


def _seek(start: Fraction, margin: Fraction | None, stream: VideoStream | AudioStream) -> Fraction | None:
    """Where to seek to, in seconds on the source's time line; None where that is before the stream's beginning."""
    if margin is None:
        return None
    target = start - margin
    return target if target > stream.start_pts * Fraction(stream.time_base) else None


@contextmanager
def _opened(source: Path, part: Part | None) -> Iterator[Opened]:
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield Opened(descriptor, part)
    finally:
        os.close(descriptor)


def _check(recipe: Recipe, sound: SoundRecipe, video: Path, mix: Path) -> None:
    """Raises `MediaError` unless both files hold exactly what was asked for."""
    with av.open(str(video)) as container:
        frames = sum(stream.frames for stream in container.streams.video)
    samples = soundfile.info(str(mix)).frames
    if (frames, samples) != (recipe.frames, sound.samples):
        wanted = f"{recipe.frames} frames and {sound.samples} samples"
        raise MediaError("decode", f"ffmpeg wrote {frames} frames and {samples} samples where {wanted} were asked for")
