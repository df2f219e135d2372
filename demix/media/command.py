"""The ffmpeg command line that cuts one clip out of a source, built with ffmpeg-python, which escapes filter options.

One process does it all: the source is opened twice (pictures and sound are sought separately), decoded from a key
frame before the clip, chosen by time stamp, and written as mp4 and FLAC. Thread counts are fixed and everything that
could carry the time, the machine or the source's metadata into the bytes is off.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import ffmpeg
import imageio_ffmpeg

from demix.config import ConfigError
from demix.media.container import FILM_FORMATS
from demix.media.limits import MediaLimits


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
    keyframe_interval: int
    crf: int
    preset: str
    sample_rate: int
    channels: int
    first_sample: int
    """Index of the clip's first sample on the source's time line, at `sample_rate`."""
    samples: int
    audio_bitrate: int
    flac_bits: int


@cache
def ffmpeg_binary(setting: str = "") -> str:
    """Path of the ffmpeg to use: `setting` (a path or a name on PATH), or the one in imageio-ffmpeg's wheel.

    Raises `ConfigError` where it cannot be run.
    """
    found = shutil.which(setting) if setting else imageio_ffmpeg.get_ffmpeg_exe()
    if not found:
        raise ConfigError(f"clip_media.ffmpeg: no program {setting!r}; give its path, or leave the setting empty")
    return os.path.abspath(found)


def cut_command(
    binary: str,
    recipe: Recipe,
    limits: MediaLimits,
    *,
    video_fd: int,
    audio_fd: int,
    video_seek: Fraction | None,
    audio_seek: Fraction | None,
    video: Path,
    mix: Path,
) -> list[str]:
    """The command as a list of arguments. The source comes as two open descriptors; seeks are seconds on its time line.

    stdout gets one line `frame:<n> pts:<pts> ...` for each source frame decoded, before the clip and in it.
    """
    pictures = _pictures(_input(video_fd, video_seek, limits, an=None), recipe)
    sounds = _sounds(_input(audio_fd, audio_seek, limits, vn=None), recipe).filter_multi_output("asplit")
    film = ffmpeg.output(
        pictures,
        sounds.stream(0),
        _file(video),
        **_bitexact("v", "a"),
        format="mp4",
        vcodec="libx264",
        preset=recipe.preset,
        crf=recipe.crf,
        g=recipe.keyframe_interval,
        acodec="aac",
        **{"frames:v": recipe.frames, "threads:v": 1, "b:a": f"{recipe.audio_bitrate}k"},
        fps_mode="passthrough",
        movflags="+faststart",
    )
    sound = ffmpeg.output(sounds.stream(1), _file(mix), **_bitexact("a"), format="flac", acodec="flac",
                          bits_per_raw_sample=recipe.flac_bits)  # fmt: skip
    settings = ["-hide_banner", "-nostdin", "-y", "-loglevel", "error", "-copyts"]
    settings += ["-filter_threads", "1", "-filter_complex_threads", "1"]
    return [binary, *settings, *ffmpeg.get_args(ffmpeg.merge_outputs(film, sound))]


def _input(descriptor: int, seek: Fraction | None, limits: MediaLimits, **without: None) -> Any:
    options: dict[str, Any] = {
        "protocol_whitelist": "fd",
        "fd": descriptor,
        "format_whitelist": FILM_FORMATS,
        "max_streams": limits.max_streams,
        "max_pixels": limits.max_pixels,
        "threads": 1,
        "sn": None,
        "dn": None,
        **without,
    }
    if seek is not None:
        options |= {"seek_timestamp": 1, "noaccurate_seek": None, "ss": f"{float(seek):.6f}"}
    if "an" in without:
        options["reinit_filter:v"] = 0  # a change of size within the stream must not begin the clip anew
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


def _sounds(source: Any, recipe: Recipe) -> Any:
    """Samples [first_sample, first_sample + samples) of the source's time line; silence where it has none."""
    return (
        source[str(recipe.audio_index)]
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


def _bitexact(*kinds: str) -> dict[str, Any]:
    flags = {f"flags:{kind}": "+bitexact" for kind in kinds}
    return {"map_metadata": -1, "map_chapters": -1, "fflags": "+bitexact", **flags}


def _file(path: Path) -> str:
    return f"file:{path.absolute()}"
