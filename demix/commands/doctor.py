"""`demix doctor`: everything that a build needs, tried on a film of one second, each finding with its remedy."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import PIPE, SubprocessError

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from demix import DISTRIBUTION, processes, weights
from demix.commands.common import settings_of
from demix.config import ConfigError
from demix.errors import MachineTrouble
from demix.exit_status import ExitStatus
from demix.media.command import ffmpeg_binary
from demix.preflight import check_places, free_gigabytes
from demix.recipe import BuildSettings, all_stages
from demix.scratch import scratch, temporary_folder
from demix.store import Store
from demix.trial import Problem, Trial
from demix.weights import WeightsMissing

_NAMES = 22
"""Characters of the column with the names of checks."""


def doctor(args: argparse.Namespace) -> int:
    """Prints one line a check, as soon as it is made; returns 1 if anything is wrong."""
    settings = settings_of(args)
    weights.use(settings.engine.weights)
    console = Console()
    console.print(_row("", "check", "finding"), style="bold")
    sound = True
    with scratch(), temporary_folder() as folder:
        for name, check in _checks(settings, args, Trial(Path(folder))):
            try:
                row = _row("[green]ok[/green]", name, escape(check()))
            except Problem as problem:
                sound = False
                row = _row("[red]problem[/red]", name, escape(str(problem)))
            console.print(row)
    return ExitStatus.DONE if sound else ExitStatus.NOT_GOOD


def _row(*cells: str) -> Table:
    """One line of a table whose other lines are not known yet."""
    columns = (Column(width=len("problem")), Column(width=_NAMES, overflow="fold"), Column(overflow="fold"))
    row = Table(*columns, box=None, pad_edge=False, show_header=False)
    row.add_row(*cells)
    return row


def _checks(settings: BuildSettings, args: argparse.Namespace, trial: Trial) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "python", _python
    yield "ffmpeg", partial(_ffmpeg, settings)
    for encoder in ("libx264", "aac"):
        yield f"encoder {encoder}", partial(_encoder, settings, encoder)
    yield "media libraries", lambda: _packages("av", "soundfile", "opencv-python-headless", "scenedetect-headless")
    yield "a film", partial(_film, settings, trial)
    for stage in all_stages(settings):
        for name in stage.weights():
            yield f"weights {name}", partial(_weights, name)
        yield f"stage {stage.name}", partial(trial.run, stage, settings.engine)
    if settings.engine.runner != "sequential":
        yield "ray", lambda: _packages("ray")
    if args.output is not None:
        yield "disk", lambda: _disk(Store(args.output))


def _python() -> str:
    return f"{platform.python_version()} at {sys.executable}"


def _ffmpeg(settings: BuildSettings) -> str:
    try:
        binary = ffmpeg_binary(settings.clip_media.ffmpeg)
    except ConfigError as error:
        raise Problem(str(error)) from error
    try:
        said = processes.run([binary, "-version"], stdout=PIPE, stderr=PIPE, text=True, timeout=30, check=True).stdout
    except (OSError, SubprocessError) as error:
        raise Problem(f"{binary} does not run ({error}); install imageio-ffmpeg or set clip_media.ffmpeg") from error
    return f"{said.split()[2]} at {binary}"


def _encoder(settings: BuildSettings, name: str) -> str:
    try:
        binary = ffmpeg_binary(settings.clip_media.ffmpeg)
    except ConfigError as error:
        raise Problem("needs an ffmpeg") from error
    said = processes.run([binary, "-hide_banner", "-encoders"], stdout=PIPE, stderr=PIPE, text=True, timeout=30).stdout
    if f" {name} " not in said:
        raise Problem(f"this ffmpeg has no {name}; leave clip_media.ffmpeg empty to use that of imageio-ffmpeg")
    return "there"


def _film(settings: BuildSettings, trial: Trial) -> str:
    try:
        return trial.make(ffmpeg_binary(settings.clip_media.ffmpeg))
    except ConfigError as error:
        raise Problem("needs an ffmpeg") from error


def _packages(*names: str) -> str:
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError as error:
            raise Problem(f"{name} is not installed; run `pip install --force-reinstall {DISTRIBUTION}`") from error
    return ", ".join(found)


def _weights(name: str) -> str:
    """Of which contents they are, and what their licence forbids."""
    entry = weights.find(name)
    try:
        weights.locate(name)
    except WeightsMissing as error:
        raise Problem(str(error)) from error
    return f"{weights.revision(name)}, licence: {entry.licence}" + (
        f", forbids {entry.forbids}" if entry.forbids else ""
    )


def _disk(place: Store) -> str:
    if place.folder is None:
        try:
            check_places(place)
        except MachineTrouble as error:
            raise Problem(str(error)) from error
        return f"{place} can be written"
    free = free_gigabytes(place.folder)
    if free < 5:
        raise Problem(f"{free:.1f} GB free for {place}; a build needs about the size of its films again")
    return f"{free:.0f} GB free"
