"""A build on a machine in trouble ends with one sentence and status 3; given again, it ends with the undisturbed bytes.

The trouble is real: a file system without room, one that goes or becomes read-only in the middle, children that are
killed, no more open files (`tests/build/_trouble.py`). Where mounts are refused, every write still fails once.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest

from tests.build import cheap
from tests.build.conftest import Corpus
from tests.build.running import child, numbers, rows, tree

SETTINGS = (*cheap.OPTIONS, "--set", "pack.target_bytes=400000")
SLOW = pytest.mark.slow
CUT = r"/clip\.mp4$"
"""When the first clip is cut."""


def can_mount(folder: Path) -> bool:
    folder.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True).returncode:
        return False
    subprocess.run(["umount", str(folder)], check=True)
    return True


def unmount(folder: Path) -> None:
    """All that is mounted at this place."""
    while not subprocess.run(["umount", "-l", str(folder)], capture_output=True).returncode:
        pass


class Place:
    """Films and a dataset whose paths stay the same from one build to the next: manifests hold them."""

    def __init__(self, root: Path):
        self.root, self.films, self.dataset = root, root / "films", root / "dataset"
        self.mounts = can_mount(root / "try")
        self.whole: tuple[dict[str, str], dict[str, Any]] = ({}, {})

    def command(self, *more: str) -> list[str]:
        return ["build", str(self.films), "--output", str(self.dataset), "--runner", "sequential", *SETTINGS, *more]

    def run(self, *deeds: tuple[str, str, str], command: list[str] | None = None) -> list[dict[str, Any]]:
        """The attempts; the last was undisturbed and came to its end."""
        attempts = self.attempts(command or self.command(), *deeds)
        assert attempts[-1]["status"] == 0, attempts[-1]["said"]
        assert len(attempts) > len(deeds)
        return attempts

    def attempts(self, command: list[str], *deeds: tuple[str, str, str]) -> list[dict[str, Any]]:
        """All attempts, however the last ended."""
        ran = child(json.dumps(deeds), *command, module="tests.build._trouble")
        assert ran.out, ran.err
        return [json.loads(line) for line in ran.out.splitlines()]

    def mount(self, folder: Path, size: str) -> None:
        if not self.mounts:
            pytest.skip("mounting is refused here")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)

    def check(self) -> None:
        """The dataset is what it would have been, and nothing was left behind."""
        found = tree(self.dataset)
        assert {name for name in {**found, **self.whole[0]} if found.get(name) != self.whole[0].get(name)} == set()
        assert numbers(self.dataset) == self.whole[1]
        assert not list(self.dataset.rglob(".*.tmp*")), "what failed writers left is removed"
        assert not (self.dataset / ".work/media").exists()


@pytest.fixture(scope="module")
def built(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("trouble"))
    place.films.mkdir()
    for path in ("good/address.mp4", "good/silent film.mp4", "broken/truncated.mp4", "broken/playlist.mp4"):
        shutil.copy2(corpus.folder / path, place.films)
    place.run()
    place.whole = tree(place.dataset), numbers(place.dataset)
    assert len(rows(place.dataset, "clips")) == 1
    assert len(rows(place.dataset, "quarantine")) == 1, "the truncated film"
    yield place
    for folder in (place.dataset, place.films):
        unmount(folder)


@pytest.fixture
def place(built: Place) -> Iterator[Place]:
    for folder in (built.dataset, built.dataset.with_name("dataset.away")):
        shutil.rmtree(folder, ignore_errors=True)
    yield built
    for folder in (built.dataset / ".work", built.dataset, built.films):
        unmount(folder)


def ended_well(attempt: dict[str, Any], *words: str, status: int = 3) -> None:
    """One sentence, and the status."""
    said = attempt["said"]
    assert attempt["status"] == status, attempt
    assert "Traceback" not in said, said
    last = said.strip().splitlines()[-1]
    assert last.startswith("demix build: "), said
    assert all(word in last for word in words), last


def test_a_write_in_every_phase_fails_and_costs_nothing(place: Place) -> None:
    kinds = (r"/ledger/parts/", r"/ledger/shots-", r"/mix\.flac$", r"/shards/.*\.tar$", r"/manifests/commit\.json$")
    *disturbed, _ = place.run(*(("write fails", kind, "ENOSPC") for kind in kinds))
    for attempt in disturbed:
        ended_well(attempt, "no space is left on the device; make room, then give the same command again")
    place.check()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", ["ENOSPC", "EIO"])
def test_a_write_of_every_kind_fails_and_costs_nothing(place: Place, number: str) -> None:
    """Every kind of file that a build writes, in turn, and all writes after it."""
    attempts = place.run(("write fails", "*", number))
    assert len(attempts) > 25
    for attempt in attempts[:-1]:
        ended_well(attempt, {"ENOSPC": "no space", "EIO": "input/output errors"}[number], "same command again")
    place.check()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", ["EDQUOT", "ESTALE"])
def test_every_single_write_fails_and_costs_nothing(place: Place, number: str) -> None:
    attempts = place.run(("write fails", "**", number))
    assert len(attempts) > 30
    for attempt in attempts[:-1]:
        ended_well(attempt, "same command again")
    place.check()


@pytest.mark.parametrize("size", [pytest.param("60k", marks=SLOW), "400k", pytest.param("900k", marks=SLOW)])
def test_a_disk_that_runs_full_costs_nothing(place: Place, size: str) -> None:
    """In the middle of indexing, of cutting and demixing, of packing."""
    place.mount(place.dataset, size)
    (full,) = place.attempts(place.command())
    ended_well(full, "no space is left on the device; make room", "same command again")
    assert not list(place.dataset.rglob(".*.tmp*")), "what could not be written whole is removed"
    subprocess.run(["mount", "-o", "remount,size=100m", str(place.dataset)], check=True)
    place.run()
    place.check()


@pytest.mark.slow
def test_a_full_folder_for_temporary_files_costs_nothing(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.mount(tmp_path, "64k")
    try:
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("TMPDIR", str(tmp_path))
            (full,) = place.attempts(place.command())
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
    ended_well(full, "no space is left on the device")
    place.run()
    place.check()


@pytest.mark.parametrize("at", [pytest.param(r"/ledger/probe-", marks=SLOW), CUT])
def test_films_whose_mount_goes_are_not_lost(place: Place, at: str) -> None:
    """Between probing and indexing, and between one clip and the next; the place of the mount stays, empty."""
    with moved(place, place.films) as source:
        gone, _ = place.run(("unmount", at, f"{place.films}={source}"))
        ended_well(gone, f"bring {place.films} back (is it mounted?)", ".mp4: is gone")
    place.check()


@pytest.mark.slow
def test_a_work_store_whose_mount_goes_is_not_begun_anew(place: Place) -> None:
    work = place.root / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    command = place.command("--work", str(work))
    with moved(place, work) as source:
        gone, _ = place.run(("unmount", CUT, f"{work}={source}"), command=command)
        ended_well(gone, f"{work}: the work store is gone; bring it back (is it mounted?)")
        assert rows(place.dataset, "clips")
        unmount(work)
        assert list(work.iterdir()) == [], "nothing was written where the mount had been"


@contextmanager
def moved(place: Place, folder: Path) -> Iterator[Path]:
    """While this is open, what lies in `folder` lies elsewhere, at the path yielded, and is mounted in its place."""
    if not place.mounts:
        pytest.skip("mounting is refused here")
    source = folder.with_name(f"{folder.name} elsewhere")
    folder.rename(source)
    folder.mkdir()
    subprocess.run(["mount", "--bind", str(source), str(folder)], check=True)
    try:
        yield source
    finally:
        unmount(folder)
        folder.rmdir()
        source.rename(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("at", "folder"), [(CUT, ".work/ledger"), (r"/manifests/clips", "manifests")])
def test_a_disk_that_becomes_read_only_costs_nothing(place: Place, at: str, folder: str) -> None:
    place.mount(place.dataset, "100m")
    stuck, _ = place.run(("read-only", at, str(place.dataset / folder)))
    ended_well(stuck, "the file system is read-only", "same command again")
    place.check()


@pytest.mark.slow
def test_a_process_that_may_open_no_more_files_costs_nothing(place: Place) -> None:
    stuck, _ = place.run(("no more files", CUT, ""))
    ended_well(stuck, "too many open files; raise the limit (ulimit -n)")
    place.check()


@pytest.mark.slow
def test_an_ffmpeg_that_cannot_start_costs_nothing(place: Place, tmp_path: Path) -> None:
    """Absent, of another machine, without its libraries, or crashing whatever it is asked."""
    binary = tmp_path / "ffmpeg"
    whole = "#!/bin/sh\nexec " + imageio_ffmpeg.get_ffmpeg_exe() + ' "$@"\n'
    command = place.command("--set", f"clip_media.ffmpeg={binary}")
    for broken in (
        "#!/nowhere/sh\n",
        "\0\0\0\0",
        "#!/bin/sh\necho error while loading shared libraries: libx264.so >&2; exit 127\n",
        "#!/bin/sh\nkill -SEGV $$\n",
        "#!/bin/sh\nexit 1\n",
    ):
        binary.write_text(broken)
        binary.chmod(0o755)
        (attempt,) = place.attempts(command)
        ended_well(attempt, str(binary), "install it again, or name another one (clip_media.ffmpeg)")
    binary.write_text(whole)
    place.run(command=command)
    assert {row["stage"] for row in rows(place.dataset, "quarantine")} == {"probe"}
    whole, found = (
        {name: made[name] for name in made if name.endswith(".tar")} for made in (place.whole[0], tree(place.dataset))
    )
    assert found == whole, "what is beside the tars names the stages' settings"


@pytest.mark.slow
@pytest.mark.parametrize("at", [r"/settings\.json$", r"/clips\.parquet$"])
def test_children_that_are_killed_twice_cost_nothing(place: Place, at: str) -> None:
    attempts = place.run(("kill children", at, "2"))
    assert attempts[0]["status"] == 0, attempts[0]["said"]
    place.check()


def test_children_that_are_all_killed_end_the_build(place: Place) -> None:
    early, late, _ = place.run(
        ("kill children", r"/settings\.json$", "1000"), ("kill children", r"/clips\.parquet$", "1000")
    )
    ended_well(early, "stage probe", "SIGKILL", "memory")
    ended_well(late, "stage clip_media", "SIGKILL", "memory")
    place.check()


def test_a_film_that_is_replaced_after_it_was_indexed_is_not_cut(place: Place, corpus: Corpus) -> None:
    """The other one would have been cut at the first one's shots, and nobody could have told."""
    film = place.films / "address.mp4"
    shutil.copy2(corpus.folder / "good/feature film.mp4", f"{film}.other")
    replaced, again = place.attempts(place.command(), ("replace", r"/clips\.parquet$", str(film)))
    Path(f"{film}.other").unlink()
    assert again["status"] == replaced["status"] == 1, replaced["said"]
    (lost,) = (row for row in rows(place.dataset, "quarantine") if row["stage"] == "clip_media")
    assert lost["error"] == "SourceChanged"
    assert f"{film}: the file was replaced since it was probed; name the sources again" in lost["message"]
    place.run(command=place.command("--retry-failed"))
    place.check()


def test_one_film_that_is_gone_while_others_are_there_is_its_own_failure(place: Place) -> None:
    """Somebody has removed it: the build goes on without it, and says how to have it."""
    film = place.films / "address.mp4"
    gone, again = place.attempts(place.command(), ("remove", r"/clips\.parquet$", str(film)))
    assert gone["status"] == again["status"] == 1, gone["said"]
    (lost,) = (row for row in rows(place.dataset, "quarantine") if row["stage"] == "clip_media")
    assert lost["error"] == "SourceMissing"
    assert f"{film}: no such file on this machine, while others lie beside it; put it there" in lost["message"]
    assert "give the same command with --retry-failed, or name the sources anew" in lost["message"]
    assert "1 in quarantine failed because the film was not there" in again["said"]
    place.run(command=place.command("--retry-failed"))
    place.check()
