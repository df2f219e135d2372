"""`mtv_train evaluate`: scores folders of generated videos by the paper's metrics."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

EPILOG = """\
examples:
  python -m mtv_train evaluate --generated OUT --reference DATASET --metrics all --out report/
  python -m mtv_train evaluate --compare ours=OUT mm_diffusion=DIR2 --paper --out report/

Weights are looked for in the folder of `demix weights`; some forbid commercial use and have to be accepted by name.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--generated", type=Path, metavar="DIR", help="a folder of videos")
    what.add_argument("--compare", nargs="+", metavar="NAME=DIR", help="several folders, for one table")
    parser.add_argument(
        "--reference", metavar="DATASET", help="real videos for FVD, and captions: a dataset, or a folder of videos"
    )
    parser.add_argument("--reference-limit", type=int, metavar="N", help="only N real videos (default: all)")
    parser.add_argument(
        "--metrics", default="all", help="fvd, temp_c, text_c, audio_c, sync, av_align, comma-separated (default: all)"
    )
    parser.add_argument("--out", type=Path, default=Path("report"), metavar="DIR", help="(default: report)")
    parser.add_argument("--paper", action="store_true", help="show the paper's published numbers beside ours")
    parser.add_argument(
        "--accept-licence",
        default="",
        metavar="NAMES",
        help="weights whose limits you keep, comma-separated, e.g. videoclip_xl,imagebind_huge",
    )
    parser.add_argument("--networks", default="released", help="released, or tiny: random ones, to try the path out")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="what was measured (default: a folder of the user's)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
    group = parser.add_argument_group("settings")
    group.add_argument("--config", type=Path, metavar="FILE", help="YAML with settings")
    group.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, e.g. fvd.frames=16; repeatable"
    )


def run(args: argparse.Namespace) -> int:
    """Writes the report and prints the table; returns 1 if no video of some method has any value."""
    # Here, so that --help is instant.
    import torch

    from demix.config import ConfigError, merge, parse_assignment, read_yaml, validate
    from mtv_train.evaluate.evaluation import Request, evaluate
    from mtv_train.evaluate.page import write_report
    from mtv_train.evaluate.settings import EvaluateSettings
    from mtv_train.evaluate.suite import SUITES, check_licences, chosen_metrics
    from mtv_train.evaluate.table import markdown

    layers = [read_yaml(args.config)] if args.config else []
    settings = validate(EvaluateSettings, merge(*layers, *(parse_assignment(text) for text in args.set)))
    metrics = chosen_metrics(args.metrics)
    if args.reference is None and "fvd" in metrics and args.metrics != "all":
        raise ConfigError("fvd compares with real videos: give --reference DATASET, or leave fvd out of --metrics")
    if args.networks not in SUITES:
        raise ConfigError(f"--networks {args.networks}: there are {', '.join(SUITES)}")
    device = torch.device(_device(args.device))
    suite = SUITES[args.networks](settings, device)
    request = Request(_sets(args), metrics, args.reference, args.reference_limit, args.paper)
    used = check_licences(suite, request.measurable, [name.strip() for name in args.accept_licence.split(",")])
    for line in used:
        print(line, file=sys.stderr)
    evaluation = evaluate(request, settings, suite, device, args.cache or _cache(), used)
    page = write_report(evaluation, args.out)
    print(markdown(evaluation))
    print(f"{page} has every video; the table is also in {args.out / 'table.md'}", file=sys.stderr)
    return 0 if all(any(column.value is not None for column in result.columns) for result in evaluation.sets) else 1


def _sets(args: argparse.Namespace) -> dict[str, Path]:
    from demix.config import ConfigError

    if args.generated is not None:
        return {args.generated.resolve().name or "generated": args.generated}
    sets: dict[str, Path] = {}
    for text in args.compare:
        name, equals, folder = text.partition("=")
        if not equals or not name or not folder:
            raise ConfigError(f"--compare {text}: expected NAME=DIR, for instance ours=out/")
        if name in sets:
            raise ConfigError(f"--compare {text}: the name {name!r} is given twice")
        sets[name] = Path(folder)
    return sets


def _device(asked: str) -> str:
    import torch

    from demix.config import ConfigError

    if asked == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: torch sees no GPU here; use --device cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if asked == "auto" else asked


def _cache() -> Path:
    """MTV_EVALUATION_CACHE if set, else a folder of the user's."""
    if chosen := os.environ.get("MTV_EVALUATION_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mtv_train" / "evaluation"
