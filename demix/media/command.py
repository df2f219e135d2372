"""The two ffmpeg command lines that cut one clip out of a source, built with ffmpeg-python, which escapes filters.

The first decodes the sound and writes it as FLAC and AAC, the second decodes the pictures and writes the mp4. They are
apart because float arithmetic of sound depends on the processor unless its newer instructions are left unused, and
integer arithmetic of pictures does not and is half as fast without them. Thread counts are fixed, and everything that
could carry the time, the machine or the source's metadata into the bytes is off.
"""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg

from demix.config import ConfigError
from demix.errors import MachineTrouble
from demix.machine import GO_ON
from demix.media import sandbox
from demix.media.container import FILM_FORMATS
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits

_GLOBAL = ("-hide_banner", "-nostdin", "-y", "-loglevel", "error", "-copyts", "-filter_threads", "1",
           "-filter_complex_threads", "1")  # fmt: skip
_SAME_FLOATS = ("-cpuflags", "sse4.2") if platform.machine().lower() in ("x86_64", "amd64") else ()
"""Instructions that every x86 machine of this century's teens has: the same samples on all of them."""
_BITEXACT: dict[str, Any] = {"map_metadata": -1, "map_chapters": -1, "fflags": "+bitexact"}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a clip's bytes."""

    video_index: int
    audio_index: int
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
    keyframe_interval: int
    crf: int
    preset: str
    sample_rate: int
    channels: int
    origin: int
    """Whole seconds on the source's time line, just before the clip's first sample."""
    first_sample: int
    """Index of the clip's first sample counted from `origin`, at `sample_rate`."""
    samples: int
    audio_bitrate: int
    flac_bits: int


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


def sound_command(
    binary: str, recipe: Recipe, limits: MediaLimits, source: int, seek: Fraction | None, mix: Path, track: Path
) -> list[str]:
    """Arguments that write the clip's samples to `mix` (FLAC) and `track` (AAC in m4a).

    `source` is an open descriptor; `seek` is in seconds on its time line, None for its beginning.
    """
    samples = _samples(_input(source, seek, limits, vn=None), recipe).filter_multi_output("asplit")
    flac = ffmpeg.output(samples.stream(0), _file(mix), **_BITEXACT, **{"flags:a": "+bitexact"}, format="flac",
                         acodec="flac", bits_per_raw_sample=recipe.flac_bits)  # fmt: skip
    aac = ffmpeg.output(samples.stream(1), _file(track), **_BITEXACT, **{"flags:a": "+bitexact"}, format="mp4",
                        acodec="aac", audio_bitrate=f"{recipe.audio_bitrate}k")  # fmt: skip
    return [binary, *_GLOBAL, *_SAME_FLOATS, *ffmpeg.get_args(ffmpeg.merge_outputs(flac, aac))]


def film_command(
    binary: str, recipe: Recipe, limits: MediaLimits, source: int, seek: Fraction | None, track: Path, video: Path
) -> list[str]:
    """Arguments that write the clip's pictures, with the sound of `track`, to `video` (mp4).

    stdout gets one line `frame:<n> pts:<pts> ...` for each source frame decoded, before the clip and in it.
    """
    film = ffmpeg.output(
        _pictures(_input(source, seek, limits, an=None, **_as_probed(recipe)), recipe),
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
    return [binary, *_GLOBAL, *ffmpeg.get_args(film)]


def _as_probed(recipe: Recipe) -> dict[str, Any]:
    """ffmpeg turns pictures before the first filter; it is told how, since by itself it turns them askew as well."""
    options: dict[str, Any] = {
        "reinit_filter:v": 0,  # a change of size within the stream must not begin the clip anew
        # Anticlockwise, and mirrored afterwards; ours is clockwise and mirrored before.
        "display_rotation:v": recipe.rotation if recipe.mirrored else -recipe.rotation,
    }
    return options | ({"display_hflip:v": None} if recipe.mirrored else {})


def _input(descriptor: int, seek: Fraction | None, limits: MediaLimits, **more: Any) -> Any:
    options: dict[str, Any] = {
        "protocol_whitelist": "fd",
        "fd": descriptor,
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
    return ffmpeg.input("fd:", **options)


def _pictures(source: Any, recipe: Recipe) -> Any:
    """Frames of [start_pts, end_pts), at a fixed rate: each output frame shows the last one that has begun by then."""
    shift = recipe.start_pts + recipe.stamp_slack
    return (
        source[str(recipe.video_index)]
        .filter("metadata", mode="add", key="demix", value="1")
        .filter("metadata", mode="print", file="pipe:1")
        .filter("trim", start_pts=recipe.start_pts, end_pts=recipe.end_pts)
        .filter("setpts", f"PTS-({shift})")
        .filter("fps", fps=str(recipe.fps), round="up", start_time=0)
        .filter("tpad", stop=-1, stop_mode="clone")
        .filter("scale", recipe.width, recipe.height, flags="bicubic+accurate_rnd+bitexact", out_range="tv")
        .filter("format", "yuv420p")
        .filter("setsar", "1")
    )


def _samples(source: Any, recipe: Recipe) -> Any:
    """Samples [first_sample, first_sample + samples) of the source's time line; silence where it has none."""
    return (
        source[str(recipe.audio_index)]
        # Clocks of broadcasts begin anywhere within a day; in samples that is more than the resampler can count.
        .filter("asetpts", f"PTS-{recipe.origin}/TB")
        .filter(
            "aresample",
            recipe.sample_rate,
            first_pts=recipe.first_sample,
            # Gaps and overlaps of more than 10 ms are filled and dropped; nothing is ever stretched.
            **{"async": 1, "min_comp": 0, "min_hard_comp": 0.01},
            ochl="mono" if recipe.channels == 1 else "stereo",
            osf="s16" if recipe.flac_bits == 16 else "s32",
        )
        .filter("apad")
        .filter("atrim", end_sample=recipe.samples)
        .filter("asetpts", "N")
    )


def _file(path: Path) -> str:
    return f"file:{path.absolute()}"
