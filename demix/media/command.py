"""The three ffmpeg command lines that cut one clip out of a source, built with ffmpeg-python, which escapes filters.

The first decodes the sound, the second writes it as FLAC and AAC, the third decodes the pictures and writes the mp4.
Sound is apart because float arithmetic depends on the processor unless its newer instructions are left unused, and
integer arithmetic of pictures does not and is half as fast without them. It is decoded apart from encoding because a
filter graph begins anew where a film's layout or sample rate changes, and an encoder must not. Thread counts are fixed,
and everything that could carry the time, the machine or the source's metadata into the bytes is off.
"""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal

import ffmpeg
import imageio_ffmpeg

from demix.config import ConfigError
from demix.errors import MachineTrouble
from demix.machine import GO_ON
from demix.media import sandbox
from demix.media.container import FILM_FORMATS, Part, address, protocols
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.picture_filters import pictures

_GLOBAL = ("-hide_banner", "-nostdin", "-y", "-loglevel", "error", "-copyts", "-filter_threads", "1",
           "-filter_complex_threads", "1")  # fmt: skip
_SAME_FLOATS = ("-cpuflags", "sse4.2") if platform.machine().lower() in ("x86_64", "amd64") else ()
"""Instructions that every x86 machine of this century's teens has: the same samples on all of them."""
_BITEXACT: dict[str, Any] = {"map_metadata": -1, "map_chapters": -1, "fflags": "+bitexact"}


@dataclass(frozen=True)
class Crop:
    """A part of upright pictures of `of_width` and `of_height`, in pixels as stored; all even, as chroma asks for."""

    of_width: int
    of_height: int
    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a clip's pictures."""

    video_index: int
    start_pts: int
    end_pts: int
    stamp_slack: int
    """Ticks by which the distance of two stamps may be too long, because both were rounded; 0 or 1."""
    fps: Fraction
    frames: int
    width: int
    height: int
    rotation: int
    mirrored: bool
    crop: Crop | None
    """What is left of upright pictures without their bars; None: all of them."""
    fields: Literal["progressive", "interlaced", "telecined"]
    first_field: Literal["", "top", "bottom"]
    time_base: str
    """Of the stamps, in seconds."""
    colours: tuple[str, str, float] | None
    """Transfer, primaries and cd/m2 of the highlights of film that is converted to BT.709."""
    rgb: bool
    """Whether the source stores red, green and blue."""
    keyframe_interval: int
    crf: int
    preset: str


@dataclass(frozen=True)
class SoundRecipe:
    """Everything that decides a clip's sound."""

    tracks: tuple[tuple[int, str], ...]
    """Index of each stream that is heard, and the argument of `pan` that makes left, right and centre of it."""
    layout: str
    channels: int
    sample_rate: int
    origin: int
    """Whole seconds on the source's time line, 1 to 2 s before the clip's first sample."""
    first_sample: int
    """Index of the clip's first sample counted from `origin`, at `sample_rate`."""
    samples: int
    audio_bitrate: int
    flac_bits: int

    @property
    def raw_format(self) -> str:
        """FFmpeg's name of the samples that are encoded."""
        return "s16le" if self.flac_bits == 16 else "s32le"


@dataclass(frozen=True)
class Opened:
    """What a clip is cut out of."""

    descriptor: int
    part: Part | None
    """Of what it reads; None: all of it."""


FLAC_BLOCK = 4608
"""Samples of a FLAC block: what the encoder itself chooses at 44.1 and 48 kHz."""


@cache
def ffmpeg_binary(setting: str = "") -> str:
    """Path of the ffmpeg to use: `setting` (a path or a name on PATH), or the one in imageio-ffmpeg's wheel.

    Raises `ConfigError` where the setting names none, `MachineTrouble` where the wheel's is missing.
    """
    try:
        found = shutil.which(setting) if setting else imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise MachineTrouble(f"there is no ffmpeg ({error}); install imageio-ffmpeg again, {GO_ON}") from error
    if not found:
        raise ConfigError(f"clip_media.ffmpeg: no program {setting!r}; give its path, or leave the setting empty")
    return os.path.abspath(found)


def check_runs(binary: str, limits: MediaLimits) -> None:
    """Raises `MachineTrouble` where an ffmpeg does not even say its version: then no clip is to blame."""
    try:
        sandbox.run([binary, "-version"], limits, seconds=60)
    except MediaError as error:
        raise MachineTrouble(
            f"{binary}: does not run ({error}); install it again, or name another one (clip_media.ffmpeg), {GO_ON}"
        ) from error


def decode_command(
    binary: str, recipe: SoundRecipe, limits: MediaLimits, source: Opened, seek: Fraction | None, decoded: Path
) -> list[str]:
    """Arguments that write the sound from `origin` to the clip's end to `decoded`: NUT with a stream of float PCM
    (left, right, centre) at the clip's rate for every track, its stamps counted from `origin`.

    `seek` is in seconds on the source's time line, None for its beginning.
    """
    opened = _input(source, seek, limits, vn=None)
    tracks = [_slots(opened[str(index)], pan, recipe) for index, pan in recipe.tracks]
    output = ffmpeg.output(*tracks, _file(decoded), format="nut", acodec="pcm_f32le")
    return [binary, *_GLOBAL, *_SAME_FLOATS, *ffmpeg.get_args(output)]


def encode_command(binary: str, recipe: SoundRecipe, raw: Path, mix: Path, track: Path) -> list[str]:
    """Arguments that write the samples of `raw` to `mix` (FLAC) and `track` (AAC in m4a)."""
    samples = ffmpeg.input(_file(raw), format=recipe.raw_format, ac=recipe.channels, ar=recipe.sample_rate)
    # The encoder takes its block size from the first frame that it is given; fewer than 16 samples it refuses.
    split = samples.filter_multi_output("asplit")
    blocks = split.stream(0).filter("asetnsamples", FLAC_BLOCK, pad=0)
    flac = ffmpeg.output(blocks, _file(mix), **_BITEXACT, **{"flags:a": "+bitexact"}, format="flac",
                         acodec="flac", bits_per_raw_sample=recipe.flac_bits)  # fmt: skip
    aac = ffmpeg.output(split.stream(1), _file(track), **_BITEXACT, **{"flags:a": "+bitexact"}, format="mp4",
                        acodec="aac", audio_bitrate=f"{recipe.audio_bitrate}k")  # fmt: skip
    return [binary, *_GLOBAL, *_SAME_FLOATS, *ffmpeg.get_args(ffmpeg.merge_outputs(flac, aac))]


def film_command(
    binary: str, recipe: Recipe, limits: MediaLimits, source: Opened, seek: Fraction | None, track: Path, video: Path
) -> list[str]:
    """Arguments that write the clip's pictures, with the sound of `track`, to `video` (mp4).

    stdout gets one line `frame:<n> pts:<pts> ...` for each source frame decoded, before the clip and in it. Where the
    recipe has colours, `table_beside(track)` must hold their table.
    """
    film = ffmpeg.output(
        pictures(_input(source, seek, limits, an=None, **_as_probed(recipe)), recipe, table_beside(track)),
        ffmpeg.input(_file(track))["a:0"],
        _file(video),
        **_BITEXACT,
        format="mp4",
        vcodec="libx264",
        preset=recipe.preset,
        crf=recipe.crf,
        g=recipe.keyframe_interval,
        acodec="copy",
        fps_mode="passthrough",
        movflags="+faststart",
        **{"flags:v": "+bitexact", "frames:v": recipe.frames, "threads:v": 1},
    )
    # A table of colours is applied in floats.
    return [binary, *_GLOBAL, *(_SAME_FLOATS if recipe.colours else ()), *ffmpeg.get_args(film)]


def table_beside(track: Path) -> Path:
    """Where the table of colours lies, for the command that reads `track`."""
    return track.with_suffix(".cube")


def _as_probed(recipe: Recipe) -> dict[str, Any]:
    """ffmpeg turns pictures before the first filter; it is told how, since by itself it turns them askew as well."""
    options: dict[str, Any] = {
        "reinit_filter:v": 0,  # a change of size within the stream must not begin the clip anew
        # Anticlockwise, and mirrored afterwards; ours is clockwise and mirrored before.
        "display_rotation:v": recipe.rotation if recipe.mirrored else -recipe.rotation,
    }
    return options | ({"display_hflip:v": None} if recipe.mirrored else {})


def _input(source: Opened, seek: Fraction | None, limits: MediaLimits, **more: Any) -> Any:
    options: dict[str, Any] = {
        "protocol_whitelist": protocols(source.part),
        "fd": source.descriptor,
        "format_whitelist": FILM_FORMATS,
        "max_streams": limits.max_streams,
        "max_pixels": limits.max_pixels,
        "threads": 1,
        "sn": None,
        "dn": None,
        **more,
    }
    if seek is not None:
        options |= {"seek_timestamp": 1, "noaccurate_seek": None, "ss": f"{float(seek):.6f}"}
    if source.part is not None:
        options["format"] = source.part[0]
    return ffmpeg.input(address(source.part), **options)


def _slots(stream: Any, pan: str, recipe: SoundRecipe) -> Any:
    """Left, right and centre of a stream, float at the clip's rate. Without state, so that it may begin anew where the
    stream's layout or rate changes: every frame keeps its own time."""
    end = Fraction(recipe.first_sample + recipe.samples, recipe.sample_rate) + 1
    return (
        # Clocks of broadcasts begin anywhere within a day; in samples that is more than a resampler can count.
        stream.filter("asetpts", f"PTS-({recipe.origin})/TB")
        .filter("atrim", start=0, end=f"{float(end):.6f}")
        .filter("aformat", sample_fmts="fltp")
        .filter("pan", args=pan)
        .filter("aresample", recipe.sample_rate, osf="flt")
    )


def _file(path: Path) -> str:
    return f"file:{path.absolute()}"
