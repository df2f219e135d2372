"""`mtv_train sample`: a text, a sound and pictures to a video, or many."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtv_train.sample.device import Place

EPILOG = """\
examples:
  python -m mtv_train sample MODEL --prompt "..." --speech s.wav --effects e.wav --music m.wav -o out.mp4
  python -m mtv_train sample MODEL --prompt "..." --audio mix.wav -o out.mp4             taken apart first
  python -m mtv_train sample MODEL --prompt "..." --audio speech.wav --long -o out.mp4   as long as the sound
  python -m mtv_train sample MODEL --again out.json --swap music=other.wav -o other.mp4
  python -m mtv_train sample MODEL --jobs jobs.jsonl --out DIR                           many, on all GPUs

MODEL is the folder that `mtv_train export RUN MODEL` wrote, or a whole pipeline's.
"""
TRACKS = ("speech", "speech2", "effects", "music")
PLAIN = ("prompt", *TRACKS, "audio", "demixer", "seconds", "frames", "height", "width", "seed", "steps", "guidance")
"""Options that are fields of `mtv_train.sample.request.Request` under the same name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", type=Path, metavar="MODEL", help="the model's folder")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the video to write, .mp4")

    what = parser.add_argument_group("what is shown")
    what.add_argument("--prompt", help="the text; with --person, the scene's description alone")
    what.add_argument("--person", action="append", default=[], help="who is there; builds the template; repeatable")
    what.add_argument("--speaking", metavar="N,N", default="", help="numbers of the persons who speak, from 1 on")
    what.add_argument(
        "--keyframe", action="append", default=[], metavar="FRAME=PICTURE", help="what a frame shows; repeatable"
    )
    what.add_argument(
        "--scene", action="append", default=[], metavar="SECOND=TEXT", help="a text from a second on; repeatable"
    )
    what.add_argument("--frames", type=int, help="of a window, 1 + 4n (default: the model's, 49)")
    what.add_argument("--height", type=int, help="pixels (default: the model's, 480)")
    what.add_argument("--width", type=int, help="pixels (default: the model's, 720)")

    heard = parser.add_argument_group("what is heard (what is not given is silent)")
    for track in TRACKS:
        heard.add_argument(f"--{track}", metavar="FILE")
    heard.add_argument("--audio", metavar="FILE", help="one mixture, taken apart first")
    heard.add_argument("--demixer", metavar="PROFILE", help="whose demixer: lite, open, paper (default: lite)")
    heard.add_argument("--long", action="store_true", help="as long as the sound")
    heard.add_argument("--seconds", type=float, help="length of a long video without sound")

    how = parser.add_argument_group("how")
    how.add_argument("--seed", type=int, help="the same seed gives the same video (default: 0)")
    how.add_argument("--steps", type=int, help="(default: 50)")
    how.add_argument("--guidance", type=float, help="how strongly text and sound are followed (default: 3.5)")
    how.add_argument("--audio-guidance", type=float, help="the sound's own; --guidance is then the text's")
    how.add_argument("--scheduler", choices=("model", "dpm", "ddim", "release"), help="(default: the model's)")
    how.add_argument(
        "--swap", action="append", default=[], metavar="TRACK=FILE", help="keep everything, change one; or prompt=TEXT"
    )
    how.add_argument("--again", type=Path, metavar="SIDECAR", help="as in the .json of a video; other options over it")
    how.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. joining.handover=pictures")

    many = parser.add_argument_group("many")
    many.add_argument("--jobs", type=Path, metavar="JSONL", help="one video a line, see docs/sample.md")
    many.add_argument("--out", type=Path, metavar="DIR", help="where they are written")
    many.add_argument("--workers", type=int, metavar="N", help="processes (default: one a GPU)")
    add_place(parser)


def add_place(parser: argparse.ArgumentParser) -> None:
    """Options of where a model computes, here and in `studio`."""
    where = parser.add_argument_group("where")
    where.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N (default: auto)")
    where.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    where.add_argument("--offload", action="store_true", help="parts that do not work wait in the CPU's memory")
    where.add_argument("--tiling", action="store_true", help="decode in tiles: less memory, more time")
    where.add_argument("--one-by-one", action="store_true", help="guidance branch by branch: less memory, more time")
    where.add_argument("--compile", action="store_true", help="torch.compile; pays from the second video on")


def run(args: argparse.Namespace) -> int:
    """Writes the video and its sidecar, or all of the jobs; returns 1 if some job failed."""
    from demix.config import ConfigError, validate
    from demix.engine.progress import Meter, meter
    from mtv_train.sample.model_folder import check_outside, check_writable
    from mtv_train.sample.request import Request

    fields = request_fields(args)
    place = place_of(args)
    if args.jobs is not None:
        return _run_jobs(args, fields, place)
    if args.output is None or args.output.suffix.lower() != ".mp4":
        raise ConfigError("give -o FILE.mp4, where the video is to be written (or --jobs and --out)")
    request = validate(Request, fields).resolved(Path())
    check_outside(args.output, args.model)
    check_writable(args.output)
    maker = place.load(args.model)
    with ExitStack() as stack:
        bars: list[Meter] = []

        def told(done: int, total: int, _latents: Any) -> None:
            if not bars:  # how many steps there are is known when the sound has been read
                if done > 1:
                    print(f"{done - 1} of {total} steps are kept from a call that ended early", file=sys.stderr)
                bars.append(stack.enter_context(meter("sample", total - done + 1, "steps")))
            bars[0].advance()

        note = maker.make(request, args.output, told)
    _tell(note, args.output)
    return 0


def request_fields(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of a request that a command line names, over those of a sidecar."""
    from demix.config import ConfigError, merge, parse_assignment
    from mtv_train.sample.prompt import build_prompt
    from mtv_train.sample.request import keyed

    fields: dict[str, Any] = {name: getattr(args, name) for name in PLAIN if getattr(args, name) is not None}
    for name in ("audio_guidance", "scheduler"):
        if getattr(args, name) is not None:
            fields[name] = getattr(args, name)
    if args.long:
        fields["long"] = True
    keyframe, scene = "FRAME=PICTURE, for instance 0=a.png", "SECOND=TEXT, for instance 3.5=A street at night."
    options: tuple[tuple[str, str, str, Callable[[str], object]], ...] = (
        ("keyframe", "keyframes", keyframe, int),
        ("scene", "scenes", scene, float),
        ("swap", "swap", "TRACK=FILE, for instance music=other.wav", str),
    )
    for name, option, example, kind in options:
        if given := keyed(getattr(args, name), f"--{name}", example, kind):
            fields[option] = given
    if args.person or args.speaking:
        try:
            speaking = [int(number) for number in args.speaking.split(",") if number.strip()]
            fields["prompt"] = build_prompt(args.prompt or "", args.person, speaking)
        except ValueError as error:
            raise ConfigError(
                f"--speaking {args.speaking}: numbers of persons from 1 on, e.g. 1,2 ({error})"
            ) from error
    before = _sidecar(args.again) if args.again is not None else {}
    return merge(before, fields, *(parse_assignment(text) for text in args.set))


def place_of(args: argparse.Namespace) -> Place:
    """Where a command line wants the model to compute."""
    from mtv_train.sample.device import Place

    return Place(args.device, args.precision, args.offload, args.tiling, args.one_by_one, args.compile)


def _sidecar(path: Path) -> dict[str, Any]:
    """The request in a sidecar. Raises `ConfigError` if it is none, or a file has changed since."""
    import hashlib

    from demix.config import ConfigError, validate
    from mtv_train.sample.request import Request

    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        request, hashes = note["request"], note["files"]
        files = validate(Request, request).files()
    except (OSError, KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"--again {path}: not the .json that was written beside a video ({error})") from error
    for name, file in files.items():
        if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() != hashes[name]:
            print(f"{name} {file}: has changed since {path} was written", file=sys.stderr)
    return dict(request)


def _run_jobs(args: argparse.Namespace, fields: dict[str, Any], place: Place) -> int:
    import torch

    from demix.config import ConfigError
    from mtv_train.sample.jobs import FAILURES, read_jobs, run_jobs

    if args.out is None:
        raise ConfigError("--jobs needs --out DIR, where the videos are to be written")
    if not args.model.is_dir():
        raise ConfigError(f"{args.model}: there is no such folder; name what `mtv_train export RUN OUT` wrote")
    gpus = torch.cuda.device_count() if place.where.type == "cuda" and place.where.index is None else 1
    workers = args.workers or max(gpus, 1)
    outcome = run_jobs(read_jobs(args.jobs, fields), args.model, args.out, place, workers)
    print(f"{args.out}: {outcome.made} made, {outcome.there} were there, {len(outcome.failures)} failed")
    for name, error in outcome.failures.items():
        print(f"  {name}: {error}", file=sys.stderr)
    if outcome.failures:
        print(f"failures are in {args.out / FAILURES}; the same command tries them again", file=sys.stderr)
    return 1 if outcome.failures else 0


def _tell(note: dict[str, Any], out: Path) -> None:
    from mtv_train.sample.drift import Look, Segment, table

    for remark in note["remarks"]:
        print(f"note: {remark}", file=sys.stderr)
    if len(note["segments"]) > 1:
        print(table([Segment(**{**one, "look": Look(**one["look"])}) for one in note["segments"]]))
    video = note["video"]
    print(f"{out}: {video['frames']} frames at {video['fps']} a second; {out.with_suffix('.json')} makes it again")
