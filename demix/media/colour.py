"""From the colours of a film to those of a clip: BT.709 at a display's brightness, whatever the film was made for.

The conversion is one table from coded colours to coded colours, made here and applied by ffmpeg's `lut3d`, so that its
arithmetic is the same on every machine. Ordinary film (BT.709, BT.601 or nothing said) is not converted at all.

The curves are those of ITU-R BT.2100 (PQ, HLG with the system gamma of a display of 1000 cd/m2) and BT.1886. HLG's
system gamma is applied to each colour, as ffmpeg's zscale does: film that was made with it comes back as it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from demix.records import VideoStream

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

TRANSFERS = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear", 11: "iec61966-2-4",
    13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
"""Names of the transfer characteristics of ITU-T H.273 that films state; 16 is PQ, 18 is HLG."""
PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428",
    11: "smpte431", 12: "smpte432", 22: "jedec-p22",
}  # fmt: skip
"""Names of its colour primaries."""
MATRICES = {
    0: "rgb", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
    10: "bt2020c", 14: "ictcp",
}  # fmt: skip
"""Names of its matrix coefficients."""

_PQ, _HLG = "smpte2084", "arib-std-b67"
HDR = (_PQ, _HLG)
"""Transfers of film for brighter displays."""
_D65 = (0.3127, 0.3290)
_CHROMATICITIES = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "smpte431": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "smpte432": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
"""Of the primaries that are so far from BT.709 that a clip shows it."""
WHITE = 100.0
"""cd/m2 of a clip's white."""
_KNEE = 0.6
"""Share of a clip's white up to which brightness is kept; what is brighter is pressed into the rest."""
_NO_HIGHLIGHTS = 1.5
"""Share of white up to which highlights are an encoder's overshoot: such a film is cut off at white, not pressed."""
SIZE = 33
"""Colours along each side of the table."""


def source_of(video: VideoStream) -> tuple[str, str] | None:
    """(transfer, primaries) that must be converted, None for ordinary film."""
    return _to_convert(video.transfer, video.primaries, video.matrix)


def source_of_frame(frame: VideoFrame) -> tuple[str, str] | None:
    """The same of a decoded frame."""
    said = TRANSFERS.get(frame.color_trc, ""), PRIMARIES.get(frame.color_primaries, "")
    return _to_convert(*said, MATRICES.get(frame.colorspace, ""))


def _to_convert(transfer: str, primaries: str, matrix: str) -> tuple[str, str] | None:
    if transfer in HDR and primaries not in _CHROMATICITIES:
        primaries = "bt2020"
    if not primaries and matrix in ("bt2020nc", "bt2020c"):
        primaries = "bt2020"
    wide = primaries in _CHROMATICITIES and primaries != "bt709"
    return (transfer if transfer in HDR else "bt1886", primaries) if transfer in HDR or wide else None


def is_rgb(pixel_format: str) -> bool:
    """Whether pixels are stored as red, green and blue, or as numbers of such."""
    return pixel_format.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr", "pal8"))


def table(transfer: str, primaries: str, peak: float, size: int = SIZE) -> np.ndarray:
    """float64 (size, size, size, 3): the clip's coded RGB in 0..1 for the film's, by red, green and blue.

    `peak` is the brightness of the film's highlights in cd/m2; it becomes white where it is above that.
    """
    steps = np.linspace(0.0, 1.0, size)
    return converted(np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1), transfer, primaries, peak)


def as_bt709(frame: VideoFrame, width: int, height: int, peak: float, interpolation: str = "BICUBIC") -> np.ndarray:
    """A decoded frame as a clip has it, uint8 RGB (height, width, 3), not turned: one reading of a film's colours for
    builder, trainer and metrics. `peak`: see `table`."""
    source = source_of_frame(frame)
    if source is None:
        return frame.reformat(width, height, "rgb24", interpolation=interpolation).to_ndarray()
    coded = frame.reformat(width, height, "rgb48le", interpolation=interpolation).to_ndarray() / 65535
    return np.rint(255 * converted(coded, *source, peak)).astype(np.uint8)


def highlights(frame: VideoFrame, transfer: str) -> float:
    """cd/m2 that one pixel in a thousand of an HDR picture exceeds."""
    coded = frame.to_ndarray(format="rgb48le")[::2, ::2].astype(np.float64) / 65535
    return float(np.quantile(luminance(coded, transfer) @ (0.2627, 0.6780, 0.0593), 0.999))


def converted(coded: np.ndarray, transfer: str, primaries: str, peak: float) -> np.ndarray:
    """The clip's coded RGB (..., 3) in 0..1 for the film's; see `table`."""
    light = luminance(coded, transfer) / WHITE
    light = np.maximum(light @ _conversion(primaries, "bt709").T, 0.0)
    brightest = light.max(axis=-1, keepdims=True)
    light *= _pressed(brightest, peak / WHITE) / np.maximum(brightest, 1e-9)
    return np.minimum(light, 1.0) ** (1 / 2.4)


def luminance(coded: np.ndarray, transfer: str) -> np.ndarray:
    """cd/m2 that a display shows for coded RGB (..., 3) in 0..1."""
    if transfer == _PQ:
        root = np.maximum(coded, 0.0) ** (1 / 78.84375)
        return 10000 * (np.maximum(root - 0.8359375, 0.0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    if transfer == _HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - c) / a) + b) / 12)
        return 1000 * scene**1.2
    return WHITE * np.maximum(coded, 0.0) ** 2.4


def _pressed(light: np.ndarray, peak: float) -> np.ndarray:
    """Brightness (white is 1) with what lies between the knee and the peak brought under white: Moebius' curve, which
    leaves the knee with slope 1."""
    if peak <= _NO_HIGHLIGHTS:
        return np.minimum(light, 1.0)
    a = -(_KNEE**2) * (peak - 1) / (_KNEE**2 - 2 * _KNEE + peak)
    b = (_KNEE**2 - 2 * _KNEE * peak + peak) / (peak - 1)
    curve = (b**2 + 2 * b * _KNEE + _KNEE**2) / (b - a) * (light + a) / (light + b)
    return np.minimum(np.where(light <= _KNEE, light, curve), 1.0)


def _to_xyz(primaries: str) -> np.ndarray:
    """Matrix from linear RGB to CIE XYZ, white at Y = 1."""
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in _CHROMATICITIES[primaries]]).T
    x, y = _D65
    return columns * np.linalg.solve(columns, np.array([x / y, 1.0, (1 - x - y) / y]))


def _conversion(source: str, target: str) -> np.ndarray:
    return np.linalg.solve(_to_xyz(target), _to_xyz(source))


def write_table(path: Path, transfer: str, primaries: str, peak: float) -> None:
    """Writes the table as a .cube file. Five digits: what processors differ in is far behind them."""
    rows = table(transfer, primaries, peak).transpose(2, 1, 0, 3).reshape(-1, 3)  # red runs fastest
    lines = "".join(f"{red:.5f} {green:.5f} {blue:.5f}\n" for red, green, blue in rows.tolist())
    path.write_text(f"LUT_3D_SIZE {SIZE}\n{lines}")
