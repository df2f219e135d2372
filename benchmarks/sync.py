"""Pictures and sound in step? `python -m benchmarks.sync [--write] [--only mp4 ...]`

Makes films in which a white frame and a click come at the same instants, over containers and codecs, frame rates,
sample rates, and sound that is delayed, early, short or has a gap; probes them, cuts clips out of them as a build does,
and measures by how much each is off, in the clip's mp4, which goes into a shard as it is, and in its mix, of which the
stems have the samples.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import soundfile

from demix.media.audio import resample
from demix.media.cut import CutSettings, cut
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.probe import probe
from demix.records import Clip

RESULT = Path(__file__).parent / "results" / "sync.md"
SECONDS = 6
FLASHES = (7, 19, 40, 58, 83, 101, 127)
"""Frames that are white. No two distances are alike, so that one cannot be taken for another."""
SIZE = "128x96"
FINE = 192_000
"""Hz at which sound is compared: a two hundredth of a millisecond."""
MOST_MS = 0.3
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", "48", "-bf", "2")
MPEG2, MPEG4 = ("-c:v", "mpeg2video", "-q:v", "3", "-bf", "2"), ("-c:v", "mpeg4", "-q:v", "3")
KINDS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    # name: ending, options of the pictures, options of the sound
    "mp4, H.264, AAC": ("mp4", X264, ("-c:a", "aac")),
    "mp4, H.265, AC-3": ("mp4", ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=1"),
                         ("-c:a", "ac3")),
    "mp4, H.264, MP3": ("mp4", X264, ("-c:a", "libmp3lame")),
    "mp4, H.264, Opus": ("mp4", X264, ("-c:a", "libopus")),
    "mov, H.264, PCM": ("mov", X264, ("-c:a", "pcm_s16le")),
    "mkv, H.264, AAC": ("mkv", X264, ("-c:a", "aac")),
    "mkv, H.264, FLAC": ("mkv", X264, ("-c:a", "flac")),
    "mkv, H.264, DTS": ("mkv", X264, ("-c:a", "dca", "-strict", "-2")),
    "webm, VP9, Opus": ("webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8"), ("-c:a", "libopus")),
    "webm, VP8, Vorbis": ("webm", ("-c:v", "libvpx", "-deadline", "realtime", "-b:v", "1M"), ("-c:a", "libvorbis")),
    "ts, H.264, AAC": ("ts", X264, ("-c:a", "aac")),
    "ts, MPEG-2, AC-3": ("ts", MPEG2, ("-c:a", "ac3")),
    "mpg, MPEG-2, MP2": ("mpg", ("-vf", "noise=alls=30:allf=t", *MPEG2), ("-c:a", "mp2")),
    "mpg, MPEG-2 of 60 bytes, MP2": ("mpg", MPEG2, ("-c:a", "mp2")),
    "mxf, MPEG-2, PCM": ("mxf", MPEG2, ("-c:a", "pcm_s16le")),
    "avi, MPEG-4, PCM": ("avi", MPEG4, ("-c:a", "pcm_s16le")),
    "avi, MPEG-4, MP3": ("avi", MPEG4, ("-c:a", "libmp3lame")),
    "flv, H.264, AAC": ("flv", X264, ("-c:a", "aac")),
    "asf, WMV, WMA": ("asf", ("-c:v", "wmv2", "-q:v", "3"), ("-c:a", "wmav2")),
    "nut, H.264, FLAC": ("nut", X264, ("-c:a", "flac")),
}  # fmt: skip
COARSE = ("mkv", "webm", "flv", "asf")
"""Containers whose stamps are milliseconds: of pictures too, so that half a tick is added to what can be known."""
CANNOT = {"avi": ("delayed", "early", "gap"), "mxf": ("delayed", "early", "gap"), "mov": ("gap",)}
"""What these cannot state but as silence: AVI and MXF hold no times, and PCM in MOV has no gaps."""
NOT_STATED = {
    "avi, MPEG-4, MP3": "AVI has no place for the encoder's delay (23 ms); FFmpeg repeats the first picture instead",
    "mpg, MPEG-2 of 60 bytes, MP2": "several frames begin in one packet of 2 KB, which states a time for one of them; "
    "FFmpeg counts the others and may be off by two at a key frame, as no film with noise in its pictures is",
    "mkv, H.264, DTS": "FFmpeg's encoder delays by a block of 512 samples, and says nothing of it",
}
"""Kinds whose files are out of step themselves, and why."""
RATES = {"libmp3lame": (44100, 48000), "libopus": (48000,), "ac3": (44100, 48000), "dca": (44100, 48000),
         "mp2": (44100, 48000), "wmav2": (44100, 48000), "libvorbis": (44100, 48000)}  # fmt: skip


@dataclass(frozen=True)
class Case:
    kind: str
    fps: str = "25"
    sample_rate: int = 48000
    sound: str = "whole"
    """whole, delayed, early, short or gap."""

    @property
    def ending(self) -> str:
        return KINDS[self.kind][0]


@dataclass(frozen=True)
class Offset:
    pictures: int
    """Frames by which the worst flash is late."""
    sound_ms: float
    """By which the worst clip's sound is late, in the mix."""
    track_ms: float
    """The same of the sound inside the mp4."""


def cases(only: Sequence[str] = ()) -> Iterator[Case]:
    """Every kind of film, and from the plain one of each kind every other value of one property."""
    for kind, (ending, _, sound) in KINDS.items():
        if only and ending not in only:
            continue
        plain = Case(kind)
        yield plain
        for fps in ("24", "30000/1001", "60"):
            yield replace(plain, fps=fps)
        for rate in RATES.get(sound[1], (22050, 44100, 96000)):
            if rate != plain.sample_rate and not (ending == "mxf" or (ending == "flv" and rate > 48000)):
                yield replace(plain, sample_rate=rate)
        for change in ("delayed", "early", "short", "gap"):
            if change not in CANNOT.get(ending, ()):
                yield replace(plain, sound=change)


def clicks(case: Case) -> np.ndarray:
    """The sound of the whole film, float32 (samples,): a click of 4 ms at every flash, over faint noise."""
    rate = case.sample_rate
    draw = np.random.default_rng(5)
    wave = draw.standard_normal(SECONDS * rate) * 0.002
    length = rate // 250
    for flash in FLASHES:
        begin = round(flash / Fraction(case.fps) * rate)
        wave[begin : begin + length] += draw.uniform(-0.7, 0.7, length)[: len(wave) - begin]
    return wave.astype(np.float32)


def make(case: Case, folder: Path) -> Path:
    """The film of a case."""
    wave, rate = clicks(case), case.sample_rate
    path, sound = folder / f"film.{case.ending}", folder / "sound.wav"
    # Delayed and early sound holds its clicks at the same instants: only what the file says of its beginning differs.
    begin = {"delayed": 0.32, "early": -0.26}.get(case.sound, 0.0)
    whole = np.concatenate([np.zeros(max(round(-begin * rate), 0), np.float32), wave[max(round(begin * rate), 0) :]])
    if case.sound == "short":
        whole = whole[: round(4.2 * rate)]
    soundfile.write(sound, whole, rate, subtype="PCM_16")
    white = "+".join(f"eq(N,{flash})" for flash in FLASHES)
    pictures = f"color=c=gray:s={SIZE}:r={case.fps}:d={SECONDS},geq=lum='if({white},235,50)':cb=128:cr=128"
    _, video, audio = KINDS[case.kind]
    gap = ("-af", "aselect='not(between(t,2.4,3.0))'") if case.sound == "gap" else ()
    command = ["-f", "lavfi", "-i", pictures, "-itsoffset", str(begin), "-i", str(sound), "-map", "0", "-map", "1",
               *video, "-pix_fmt", "yuv420p", *audio, "-b:a", "192k", *gap, str(path)]  # fmt: skip
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *command], check=True)
    return path


def measure(case: Case, folder: Path) -> Offset:
    """The worst of three clips of the film of a case."""
    path, limits = make(case, folder), MediaLimits()
    known = probe(path, limits)
    video, fps = known.video, Fraction(case.fps)
    tick = Fraction(video.time_base)
    found = []
    for first in (0, 11, 52):
        start = video.start_pts + round(first / fps / tick)
        clip = Clip(id="0" * 16, source_id="0" * 16, uri="film", kind="web", ordinal=0, start_pts=start,
                    end_pts=video.end_pts, time_base=video.time_base)  # fmt: skip
        files = folder / "clip.mp4", folder / "mix.flac"
        made = cut(path, known, clip, *files, CutSettings(fps=case.fps, max_sample_rate=96000), limits)
        pictures, track, rate = _decoded(files[0], made.samples)
        mix = soundfile.read(files[1], dtype="float32", always_2d=True)[0][:, 0]
        wanted = [flash - first for flash in FLASHES if first <= flash < first + made.frames]
        late = [a - b for a, b in zip(_white(pictures), wanted, strict=True)]
        truth = clicks(case)[round(first / fps * case.sample_rate) :]
        found.append(
            Offset(max(late, key=abs, default=0), _late_ms(mix, rate, truth, case), _late_ms(track, rate, truth, case))
        )
    return Offset(*(max((getattr(offset, name) for offset in found), key=abs) for name in Offset.__dataclass_fields__))


def in_step(case: Case, offset: Offset) -> bool:
    """Whether a film's clips are as good as its container lets them be."""
    if case.kind in NOT_STATED:
        return True
    # Opus's delay of 6.5 ms is rounded to the tick as well, before libav takes it off.
    ticks = 0.5 * (case.ending in COARSE) * (2 if "Opus" in case.kind else 1)
    return offset.pictures == 0 and abs(offset.sound_ms) <= MOST_MS + ticks


def _decoded(path: Path, samples: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean brightness of every frame, and the sound of an mp4."""
    with av.open(str(path)) as container:
        light = np.array([frame.to_ndarray(format="gray").mean() for frame in container.decode(video=0)])
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
        return light, np.concatenate(frames)[:samples], container.streams.audio[0].codec_context.sample_rate


def _white(light: np.ndarray) -> list[int]:
    return np.flatnonzero(light > (light.min() + light.max()) / 2).tolist()


def _late_ms(found: np.ndarray, rate: int, truth: np.ndarray, case: Case) -> float:
    first, second = resample(found, rate, FINE), resample(truth, case.sample_rate, FINE)
    length = min(len(first), len(second))
    spectrum = np.fft.rfft(first[:length], 2 * length) * np.conj(np.fft.rfft(second[:length], 2 * length))
    lag = int(np.argmax(np.fft.irfft(spectrum)))
    return round((lag if lag < length else lag - 2 * length) / FINE * 1000, 3)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], metavar="ENDING", help="only these containers")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    options = parser.parse_args()
    rows, beyond = [], 0
    for case in cases(options.only):
        with tempfile.TemporaryDirectory() as folder:
            try:
                offset = measure(case, Path(folder))
            except (MediaError, subprocess.CalledProcessError, ValueError) as error:
                rows.append(f"| {case.kind} | {case.fps} | {case.sample_rate} | {case.sound} | {str(error)[:60]} | | |")
                beyond += 1
                continue
        good = in_step(case, offset)
        beyond += not good
        note = " (not stated)" if case.kind in NOT_STATED else "" if good else " **off**"
        numbers = f"{offset.pictures} | {offset.sound_ms:+.2f} | {offset.track_ms:+.2f}{note}"
        rows.append(f"| {case.kind} | {case.fps} | {case.sample_rate} | {case.sound} | {numbers} |")
        print(rows[-1], file=sys.stderr, flush=True)
    reasons = [f"Not stated: {kind}: {why}." for kind, why in NOT_STATED.items()]
    text = "\n".join([_HEAD, *rows, "", f"{len(rows)} films, {beyond} of them off.", "", *reasons, ""])
    print(text)
    if options.write:
        RESULT.write_text(text, encoding="utf-8")
    return 0


_HEAD = """# Pictures and sound in step

Written by `python -m benchmarks.sync --write`. A white frame and a click at the same instants; three clips of each
film; the worst offset. Pictures in frames, sound in milliseconds, in the mix and in the mp4's own track; above 0: late.
Containers with stamps of a millisecond (Matroska, WebM, FLV, ASF) are allowed half of one more, for their pictures, and
with Opus another half, for its delay.

| film | frames a second | Hz | sound | pictures | mix, ms | mp4, ms |
|---|---|---|---|---|---|---|"""


if __name__ == "__main__":
    sys.exit(main())
