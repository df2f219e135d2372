"""`demix doctor`: everything that a build needs, checked before any work, each finding with its remedy."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from subprocess import PIPE, SubprocessError

from rich.console import Console
from rich.table import Table

from demix import DISTRIBUTION, processes, weights
from demix.commands.common import settings_of
from demix.config import ConfigError
from demix.engine.runner import EngineSettings
from demix.media.command import ffmpeg_binary
from demix.preflight import free_gigabytes
from demix.recipe import BuildSettings, all_stages
from demix.stage import Context, Stage
from demix.store import Store
from demix.weights import WeightsMissing


class Problem(Exception):
    """What is wrong, and what to do about it."""


def doctor(args: argparse.Namespace) -> int:
    """Prints one line a check; returns 1 if anything is wrong."""
    settings = settings_of(args)
    weights.use(settings.engine.weights)
    table = Table("", "check", "finding", box=None, pad_edge=False, header_style="bold")
    sound = True
    for name, check in _checks(settings, args):
        try:
            table.add_row("[green]ok[/green]", name, check())
        except Problem as problem:
            sound = False
            table.add_row("[red]no[/red]", name, str(problem))
    Console().print(table)
    return 0 if sound else 1


def _checks(settings: BuildSettings, args: argparse.Namespace) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "python", _python
    yield "ffmpeg", partial(_ffmpeg, settings)
    for encoder in ("libx264", "aac"):
        yield f"encoder {encoder}", partial(_encoder, settings, encoder)
    yield "media libraries", lambda: _packages("av", "soundfile", "opencv-python-headless", "scenedetect-headless")
    for stage in all_stages(settings):
        for name in stage.weights():
            yield f"weights {name}", partial(_weights, name)
        yield f"stage {stage.name}", partial(_stage, stage, settings.engine)
    if settings.engine.runner == "ray":
        yield "ray", lambda: _packages("ray")
    if args.output is not None:
        yield "disk", lambda: _disk(args)


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


def _stage(stage: Stage, engine: EngineSettings) -> str:
    """Opens a stage as a worker would: its models are built and their weights loaded."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            stage.open(Context(Store(folder), "doctor", engine.threads, engine.device))
            stage.close()
        except WeightsMissing as error:
            raise Problem("weights are missing, see above") from error
        except Exception as error:  # whatever a model raises is the finding
            raise Problem(f"{stage.revision()}: {type(error).__name__}: {error}") from error
    return stage.revision() or "no model"


def _disk(args: argparse.Namespace) -> str:
    free = free_gigabytes(args.output)
    if free < 5:
        raise Problem(f"{free:.1f} GB free for {args.output}; a build needs about the size of its films again")
    return f"{free:.0f} GB free"
