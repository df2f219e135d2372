"""Run as a script: one build on a machine in trouble, mended and given the same command again each time.

    python -m tests.build._trouble DEEDS COMMAND...

DEEDS is a JSON list of [name, pattern, argument]: when the build is about to rename a file to a path that the pattern
matches, `name` of `DEEDS` below is done to it; with the pattern "*" every attempt does it at the next path to which it
was not done before, until there is none. Every attempt is a forked child, so that libraries are imported once; the last
one is undisturbed. Prints one JSON line an attempt: what was done, the exit status and the end of what it said.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from demix import machine, processes
from demix.cli import main as demix
from tests.build import cheap

_UUID = re.compile(r"[0-9a-f]{32}")
_ID = re.compile(r"[0-9a-f]{8,}")


def write_fails(number: str) -> None:
    """From now on every write fails with this error of the system."""

    def replace(source: str, target: str) -> None:
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)), os.fspath(target))

    os.replace = replace  # type: ignore[assignment]
    replace("", "the first")


def unmount(place_and_source: str) -> None:
    subprocess.run(["umount", "-l", place_and_source.partition("=")[0]], check=True)


def mount_again(place_and_source: str) -> None:
    place, _, source = place_and_source.partition("=")
    subprocess.run(["mount", "--bind", source, place], check=True)


def make_read_only(place: str) -> None:
    """A folder in which nobody has a file open, as mounted read-only over itself."""
    subprocess.run(["mount", "--bind", place, place], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", place], check=True)


def no_more_files(_: str) -> None:
    """This process can open three more files at a time."""
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def kill_children(count: str) -> None:
    """So many of the next children are killed when they begin, as the system does it for want of memory."""
    begin, left = processes.popen, itertools.count(1)

    def popen(*arguments: object, **options: object) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] = begin(*arguments, **options)  # type: ignore[arg-type]
        if next(left) <= int(count):
            os.kill(process.pid, signal.SIGKILL)
        return process

    processes.popen = popen  # type: ignore[assignment]


def replace_film(path: str) -> None:
    """By another one with the same streams: the first with its end cut off and something else behind."""
    film = Path(path)
    shutil.copy2(film, f"{path}.kept")
    film.write_bytes(Path(f"{path}.other").read_bytes())


def remove_film(path: str) -> None:
    os.rename(path, f"{path}.away")


DEEDS: dict[str, tuple[Callable[[str], None], Callable[[str], None]]] = {
    "write fails": (write_fails, lambda _: None),
    "unmount": (unmount, mount_again),
    "read-only": (make_read_only, lambda place: _run("umount", place)),
    "no more files": (no_more_files, lambda _: None),
    "kill children": (kill_children, lambda _: None),
    "replace": (replace_film, lambda path: os.replace(f"{path}.kept", path)),
    "remove": (remove_film, lambda path: os.rename(f"{path}.away", path)),
}
"""Name -> what goes wrong in the middle of a build, and how it is mended afterwards."""


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def disturb(name: str, pattern: str, argument: str, log: Path) -> None:
    """Makes this process do its deed once, at the first rename that it is for."""
    rename: Callable[[str, str], None] = os.replace
    done = set(log.read_text().splitlines())

    def replace(source: str, target: str) -> None:
        at = place_of(os.fspath(target), whole=pattern == "**")
        wanted = at not in done if pattern in ("*", "**") else re.search(pattern, os.fspath(target)) is not None
        if not wanted:
            return rename(source, target)
        with log.open("a") as lines:
            lines.write(f"{at}\n")
        os.replace = rename
        DEEDS[name][0](argument)
        return rename(source, target)

    os.replace = replace  # type: ignore[assignment]


def place_of(target: str, whole: bool) -> str:
    """A path without what is random in it and, unless `whole`, without ids."""
    return _UUID.sub("*", target) if whole else _ID.sub("*", target)


def attempt(work: Callable[[], int]) -> dict[str, object]:
    """Exit status of a forked child that did `work`, and what it said at the end."""
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if not child:
            os.dup2(said.fileno(), 2)
            status = 70
            try:
                status = work()
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        return {"status": status, "said": said.read().decode(errors="replace")[-4000:]}


def main(deeds: list[tuple[str, str, str]], command: list[str]) -> int:
    cheap.register()
    machine.LEAST_FREE = 0
    shown = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from demix.recipe import clip_stages, index_stages, load_settings, source_stages

    settings = load_settings(assignments=cheap.SETTINGS)
    for stage in (*source_stages(settings), *index_stages(settings), *clip_stages(settings)):
        stage.revision()

    def tell(**line: object) -> None:
        os.write(shown, f"{json.dumps(line)}\n".encode())

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "done"
        log.touch()
        for name, pattern, argument in deeds:
            while True:
                before = log.read_text()

                def disturbed(name: str = name, pattern: str = pattern, argument: str = argument) -> int:
                    disturb(name, pattern, argument, log)
                    return demix(command)

                ended = attempt(disturbed)
                at = log.read_text()[len(before) :].strip()
                if not at:
                    break
                DEEDS[name][1](argument)
                tell(deed=name, at=at, **ended)
                if pattern not in ("*", "**"):
                    break
    ended = attempt(lambda: demix(command))
    tell(deed="", at="", **ended)
    return int(str(ended["status"]))


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
