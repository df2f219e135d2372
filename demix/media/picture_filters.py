"""The filters that make a clip's pictures of a film's: whole frames at a fixed rate, of one size, in BT.709."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from demix.media.command import Recipe

_SCALE = "bicubic+accurate_rnd+bitexact"


def pictures(source: Any, recipe: Recipe, table: Path) -> Any:
    """Frames of [start_pts, end_pts) of a source of ffmpeg-python: each output frame shows the last one that has begun
    by then. `table` is the file of `demix.media.colour.write_table`, if the recipe has colours."""
    shift = recipe.start_pts + recipe.stamp_slack
    stream = (
        source[str(recipe.video_index)]
        .filter("metadata", mode="add", key="demix", value="1")
        .filter("metadata", mode="print", file="pipe:1")
    )
    # Fields find their partners in the frames around the clip, too.
    stream = (
        _whole_frames(stream, recipe)
        .filter("trim", start_pts=recipe.start_pts, end_pts=recipe.end_pts)
        .filter("setpts", f"PTS-({shift})")
    )
    if recipe.fields == "telecined":  # of five frames one is there twice; the others get even stamps
        # It ends with its last frame's stamp; without one more, `fps` would leave that frame out.
        stream = stream.filter("decimate", cycle=5).filter("tpad", stop=1, stop_mode="clone")
    stream = stream.filter("fps", fps=str(recipe.fps), round="up", start_time=0)
    stream = stream.filter("tpad", stop=-1, stop_mode="clone")
    if (crop := recipe.crop) is not None:
        # Where a film changes its size on the way, `scale` keeps the size that `crop` was made for.
        stream = stream.filter("scale", crop.of_width, crop.of_height, flags=_SCALE)
        stream = stream.filter("crop", crop.width, crop.height, crop.left, crop.top)
    return _scaled(stream, recipe, table).filter("setsar", "1")


def _whole_frames(stream: Any, recipe: Recipe) -> Any:
    """Frames of one moment each, with the stamps that they had, of film that is made of fields."""
    if recipe.fields == "progressive":
        return stream
    order = "tff" if recipe.first_field == "top" else "bff"
    which = "all"
    if recipe.fields == "telecined":
        # What no match is found for stays combed, and is marked so.
        stream, which = stream.filter("fieldmatch", order=order, combmatch="full"), "interlaced"
    stream = stream.filter("bwdif", mode="send_frame", parity=order, deint=which)
    return stream.filter("settb", expr=recipe.time_base)


def _scaled(stream: Any, recipe: Recipe, table: Path) -> Any:
    size = recipe.width, recipe.height
    if recipe.colours is None and not recipe.rgb:
        return stream.filter("scale", *size, flags=_SCALE, out_range="tv").filter("format", "yuv420p")
    exact = f"{_SCALE}+full_chroma_int+full_chroma_inp"
    bt709 = {"out_range": "tv", "out_color_matrix": "bt709"}
    if recipe.colours is None:
        stream = stream.filter("scale", *size, flags=exact, **bt709).filter("format", "yuv420p")
        return stream.filter("setparams", colorspace="bt709", range="tv")
    stream = (
        stream.filter("scale", *size, flags=exact)
        .filter("format", "gbrp12le")
        .filter("lut3d", file=str(table.absolute()), interp="tetrahedral")
        .filter("scale", flags=exact, **bt709)
        .filter("format", "yuv420p")
    )
    return stream.filter("setparams", color_primaries="bt709", color_trc="bt709", colorspace="bt709", range="tv")
