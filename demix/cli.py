"""The command line: `demix build FILMS --output DATASET` and its parts. Parsing only, so that `--help` is instant."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from demix import DISTRIBUTION, __version__
from demix.cli_options import costs, output, path, place, running, settings, sources

EPILOG = """\
examples:
  demix build films/ --output DATASET                     every film below a folder
  demix build sources.csv --output s3://BUCKET/DATASET    a manifest with the columns uri, kind
  demix build films/ --output DATASET --set demix_filter.silence_db=-50
  demix plan films/ --output DATASET                      what would run, and what is done already
  demix show 0123456789abcdef --output DATASET            everything known of one clip
  demix verify DATASET                                    re-read the dataset and prove it

A build that was interrupted goes on where it stopped: give the same command again.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status (`demix.exit_status`)."""
    parsed = parser().parse_args(arguments)

    def command() -> int:
        module, _, function = parsed.run.partition(":")
        return int(getattr(importlib.import_module(f"demix.commands.{module}"), function)(parsed))

    # Only here, so that --help imports next to nothing.
    from demix.command_line import run

    return run(f"demix {parsed.command}", command, "give the same command again to go on where it stopped")


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(
        prog="demix",
        description="Build the DEMIX dataset: single-shot film clips with speech, effects and music tracks.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"{DISTRIBUTION} {__version__}", help="print the version")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    _phases(commands)
    _of_datasets(commands)
    _of_items(commands)
    _before_work(commands)
    _weights(commands)
    _corpora(commands)
    return top


def _phases(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """All phases in order, and each alone."""
    build = _command(commands, "build", "work:build", "films in, dataset and report out: all phases in order")
    sources(build)
    output(build)
    settings(build)
    running(build)
    build.add_argument("--dry-run", action="store_true", help="say what would run (as `plan`), change nothing")
    build.add_argument("--keep-work", action="store_true", help="keep clip media in the work store after packing")

    index = _command(commands, "index", "work:index", "probe the sources, find the shots, write the clip table")
    sources(index)
    output(index)
    settings(index)
    running(index)

    for name, about in (
        ("annotate", "take every clip of the clip table through the stages"),
        ("pack", "write the kept clips as shards, and the manifests"),
    ):
        command = _command(commands, name, f"work:{name}", about)
        output(command)
        settings(command, saved=True)
        running(command)
        if name == "pack":
            command.add_argument("--keep-work", action="store_true", help="keep clip media in the work store")


def _of_datasets(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What is asked of a finished dataset."""
    report = _command(commands, "report", "inspect:report", "write the statistics page of a dataset")
    report.add_argument("dataset", type=place, help="the dataset: a folder or an address (s3://…)")
    report.add_argument("--work", type=place, help="work store (default: DATASET/.work)")

    _calibrate(commands)

    verify = _command(
        commands, "verify", "inspect:verify", "re-read a dataset: hashes, members, every clip, every total"
    )
    verify.add_argument("dataset", type=place, help="the dataset: a folder or an address (s3://…)")
    verify.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")


def _of_items(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What is asked of one clip or source."""
    show = _command(commands, "show", "inspect:show", "print everything known of one clip or source")
    show.add_argument("clip", help="id of a clip, a source or a candidate")
    output(show)
    settings(show, saved=True)

    replay = _command(commands, "replay", "work:replay", "run one stage on one clip again, in this process")
    replay.add_argument("--clip", required=True, help="id of a clip, a source or a candidate")
    replay.add_argument("--stage", required=True, help="name of the stage")
    replay.add_argument("--pdb", action="store_true", help="stop in the debugger where the stage raises")
    output(replay)
    settings(replay, saved=True)


def _before_work(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What would be done, with what, and whether it can be."""
    plan = _command(commands, "plan", "inspect:plan", "stages, models, resources; what is done and what would run")
    sources(plan, required=False)
    output(plan, required=False)
    settings(plan)
    costs(plan)

    doctor = _command(commands, "doctor", "doctor:doctor", "try the installation: ffmpeg, codecs, every chosen model")
    doctor.add_argument("--output", type=place, help="also check that this place can be written and has room")
    settings(doctor)

    config = _command(
        commands, "config", "inspect:config", "print the settings of a profile, resolved, or all of them explained"
    )
    config.add_argument("--reference", action="store_true", help="print every setting with its default and meaning")
    settings(config)


def _calibrate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    calibrate = _command(
        commands,
        "calibrate",
        "calibrate:calibrate",
        "what thresholds keep; others for a wanted yield; labels by hand",
    )
    calibrate.add_argument("dataset", type=place, help="the dataset: a folder or an address (s3://…)")
    wanted = calibrate.add_mutually_exclusive_group()
    wanted.add_argument("--keep", type=float, metavar="SHARE", help="propose thresholds that keep this share")
    wanted.add_argument(
        "--agree", type=float, metavar="SHARE", help="propose thresholds that agree with this share of labels"
    )
    wanted.add_argument("--label", action="store_true", help="serve a page on this machine to label clips by hand")
    calibrate.add_argument(
        "--move",
        action="append",
        default=[],
        metavar="SETTING",
        help="a threshold that may be moved; repeatable (default: all but length.min_seconds)",
    )
    calibrate.add_argument(
        "--output", "-o", type=path, default=Path("thresholds.yaml"), metavar="FILE",
        help="settings to write, for `demix build --config` (default: thresholds.yaml)",
    )  # fmt: skip
    calibrate.add_argument(
        "--labels", type=path, default=Path("labels.csv"), metavar="FILE", help="labels by hand (default: labels.csv)"
    )
    calibrate.add_argument("--port", type=int, default=0, help="of the page for labelling (default: any free one)")
    calibrate.add_argument(
        "--work", type=place, help="work store, for clips that were dropped (default: DATASET/.work)"
    )


def _corpora(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    corpus = _command(
        commands, "corpus", "corpus:corpus", "a published corpus' metadata and media on disk as a manifest of sources"
    )
    names = ("celebv-hq", "moviebench", "condensed-movies", "short-films-20k", "web")
    corpus.add_argument("name", choices=names, help="which corpus (see docs/corpora.md)")
    corpus.add_argument("metadata", type=path, help="its metadata file, or the list of web videos")
    corpus.add_argument("--media", type=path, required=True, metavar="FOLDER", help="where its media lie")
    corpus.add_argument("--output", "-o", type=path, required=True, metavar="FILE", help="manifest to write (.jsonl)")

    download = _command(
        commands, "download", "corpus:bring", "download a list of web videos with yt-dlp (extra `web`), resumable"
    )
    download.add_argument("list", type=path, help="one video id or address a line; # begins a comment")
    download.add_argument("--media", type=path, required=True, metavar="FOLDER", help="where the videos go")
    download.add_argument("--height", type=int, default=480, help="largest height to choose, pixels (default 480)")
    download.add_argument("--rate", default="4M", help="most bytes a second, such as 500K (default 4M)")
    download.add_argument("--sleep", type=float, default=3.0, help="least pause before a video, seconds (default 3)")


_WEIGHTS = {
    "list": (
        "show",
        "all weights that a model can load: here or not, size, licence",
        "demix weights list --verbose cdx23           addresses, hashes, what the licence forbids",
    ),
    "fetch": (
        "fetch",
        "bring weights into the cache folder, from a mirror folder or from their public home",
        "demix weights fetch cdx23 spleeter_2stems\n"
        "demix weights fetch --profile paper          all that the models of a profile load\n"
        "demix weights fetch cdx23 --mirror /data/weights\n\n"
        "A download that was interrupted goes on where it stopped. Every file is checked against the published\n"
        "sha256; where none is published, that of the first fetch is recorded and holds from then on. HF_TOKEN opens\n"
        "repositories of the Hugging Face hub that are behind a form, HF_ENDPOINT names a proxy of it.",
    ),
    "convert": (
        "convert",
        "rewrite pickled checkpoints as safetensors, in a process of its own that runs nothing from the file",
        "demix weights convert cdx23\n\n"
        "Needed only where a checkpoint is refused because it names classes that are not on the list of what may be\n"
        "built. The converter builds none of them; the file that it writes is preferred from then on.",
    ),
    "check": (
        "check",
        "read all weights in the cache folder again and compare their hashes",
        "demix weights check                          everything that is here\n"
        "demix weights check cdx23                    also says so if it is not here",
    ),
}


def _weights(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "list, fetch, convert and check the weights of models"
    actions = commands.add_parser("weights", help=about, description=about[0].upper() + about[1:] + ".")
    chosen = actions.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (function, what, examples) in _WEIGHTS.items():
        action = _command(chosen, name, f"weights:{function}", what)
        action.formatter_class = argparse.RawDescriptionHelpFormatter
        action.epilog = "examples:\n" + "\n".join(f"  {line}" for line in examples.splitlines())
        action.add_argument("names", nargs="*", metavar="NAME", help="names of weights, as `demix weights list` shows")
        action.add_argument("--profile", help="all weights that the models of this profile load")
        action.add_argument(
            "--folder", type=path, help="cache folder (default: DEMIX_WEIGHTS, else one in the user's cache)"
        )
        if name == "list":
            action.add_argument("--verbose", "-v", action="store_true", help="also addresses, hashes, restrictions")
        if name == "fetch":
            action.add_argument(
                "--mirror",
                type=path,
                help="folder of released files to look into first (default: DEMIX_WEIGHTS_MIRROR)",
            )


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: str, about: str
) -> argparse.ArgumentParser:
    made = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
    made.set_defaults(run=run)
    return made


if __name__ == "__main__":
    sys.exit(main())
