"""What is the machine's or the program's fault is no item's: it stays pending, and the run says what is wrong.

On the sequential runner, and the same rules with workers side by side (`Workers`); tests/engine/test_ray.py: on Ray.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from demix.config import ConfigError
from demix.engine.doubts import MOST, Doubt, Doubts, doubt_about
from demix.engine.ledger import Entry
from demix.engine.phase import Phase
from demix.engine.row import Row
from demix.engine.runner import EngineSettings, RunOptions
from demix.engine.sequential import SequentialRunner
from demix.engine.worker import Step, Worker, WorkerSpec
from demix.errors import BrokenInstallation, ChildDefect, DemixError, MachineSuspected, MachineTrouble
from demix.machine import trouble_in
from demix.media.errors import MediaError
from demix.models.service import ServiceBusy
from demix.records import Record
from demix.stage import Dropped, Failed, Item, Outcome
from demix.store import Store
from tests.engine.toys import Double, Square, clips, rows

Fault = Callable[[], BaseException]
TROUBLE: dict[str, Fault] = {
    name: (lambda number=number: OSError(number, os.strerror(number), "/some/where"))
    for name in ("ENOSPC", "EDQUOT", "EIO", "ESTALE", "EROFS", "EMFILE", "ENFILE", "ENOMEM", "ENOTCONN")
    if (number := getattr(errno, name, None))
}
SUSPECT: dict[str, Fault] = {
    "killed child": lambda: MachineSuspected("ffmpeg was ended by SIGKILL"),
    "memory": MemoryError,
    "service": lambda: ServiceBusy("caption server: no answer"),
}
DEFECT: dict[str, Fault] = {
    "TypeError": lambda: TypeError("open() got an unexpected keyword argument"),
    "ImportError": lambda: ImportError("no module named x"),
    "in the child": lambda: ChildDefect("AttributeError", "no attribute x", "av/open.py:1 (open)"),
}
OF_THE_ITEM: dict[str, Fault] = {
    "crash": lambda: MediaError("crash", "killed by signal 11"),
    "limits": lambda: MediaError("limits", "needed more than limits.memory_bytes"),
    "gone": lambda: FileNotFoundError("film.mp4: no such file"),
    "forbidden": lambda: PermissionError(errno.EACCES, "Permission denied", "film.mp4"),
    "value": lambda: ValueError("poison"),
}


class Faulty(Double):
    """Doubles what it is not told to fail on."""

    batch_size = 1

    def __init__(self, faults: Mapping[str, Fault], dropped: Sequence[str] = ()):
        super().__init__()
        self.faults, self.dropped = faults, dropped

    def one(self, item: Item) -> Outcome:
        if item.id in self.faults:
            raise self.faults[item.id]()
        return Dropped("unwanted") if item.id in self.dropped else super().one(item)


class Workers(SequentialRunner):
    """Two workers take turns, each with notes of its own."""

    def run(
        self,
        steps: Sequence[Step],
        kinds: Mapping[str, type[Record]],
        store: Store,
        rows: Any,
        options: RunOptions,
    ) -> Iterator[Row]:
        spec = WorkerSpec(
            tuple(steps),
            tuple(steps),
            kinds,
            store.root,
            max_attempts=options.engine.max_attempts,
            run=options.run,
        )
        workers, remaining, turn = [Worker(spec), Worker(spec)], iter(rows), 0
        while batch := list(islice(remaining, 2)):
            yield from workers[turn % 2](batch)
            turn += 1


RUNNERS = pytest.mark.parametrize("runner", [SequentialRunner, Workers])


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demix.engine.attempt.time.sleep", lambda seconds: None)


def run(
    root: Path, faults: Mapping[str, Fault], runner: type[SequentialRunner] = SequentialRunner, **more: Any
) -> dict[str, str]:
    """How the twelve clips ended; the second stage passes all."""
    made = phase(root, faults, **more)
    made.run(runner, RunOptions(engine=EngineSettings(batch_rows=3, max_attempts=2)), lambda row: None)
    assert not Store(str(root)).keys("ledger/doubts")
    return {end.item.id: end.state for end in made.ends()}


def phase(root: Path, faults: Mapping[str, Fault], **more: Any) -> Phase:
    return Phase("toys", [Faulty(faults, **more), Square()], Store(str(root)), lambda: rows(clips(12)))


def left(root: Path) -> dict[str, str]:
    """How the clips stand after a run that was ended."""
    made = phase(root, {})
    made.ledger.compact()
    return {end.item.id: end.state for end in made.ends()}


IDS = [clip.id for clip in clips(12)]


@pytest.mark.parametrize("name", TROUBLE)
def test_trouble_ends_the_run_and_costs_no_item(tmp_path: Path, name: str) -> None:
    with pytest.raises(MachineTrouble, match=r"/some/where: .*; .*, then give the same command again"):
        run(tmp_path, {IDS[7]: TROUBLE[name]}, Workers)
    assert "failed" not in left(tmp_path).values()
    assert set(run(tmp_path, {}, Workers).values()) == {"kept"}


@RUNNERS
@pytest.mark.parametrize("name", SUSPECT)
@pytest.mark.parametrize("at", [0, 5, 11])
def test_what_others_pass_is_the_items_fault(
    tmp_path: Path, runner: type[SequentialRunner], name: str, at: int
) -> None:
    ends = run(tmp_path, {IDS[at]: SUSPECT[name]}, runner)
    assert {key for key, state in ends.items() if state == "failed"} == {IDS[at]}
    assert set(ends.values()) == {"kept", "failed"}


@RUNNERS
@pytest.mark.parametrize("name", SUSPECT)
@pytest.mark.parametrize("after", [0, 4, 10])
def test_a_machine_on_which_nothing_passes_any_more_ends_the_run(
    tmp_path: Path, runner: type[SequentialRunner], name: str, after: int
) -> None:
    """At once, or in the middle, or with the last two items."""
    with pytest.raises(MachineTrouble, match=r"stage double: .*again and again"):
        run(tmp_path, dict.fromkeys(IDS[after:], SUSPECT[name]), runner)
    assert "failed" not in left(tmp_path).values()
    assert set(run(tmp_path, {}, runner).values()) == {"kept"}


def test_what_passes_at_the_second_attempt_is_no_failure(tmp_path: Path) -> None:
    raised: list[int] = []

    def once() -> BaseException:
        raised.append(1)
        if len(raised) > 1:
            faulty.clear()
        return MachineSuspected("ended by SIGKILL")

    faulty: dict[str, Fault] = {IDS[3]: once}
    made = phase(tmp_path, faulty)
    made.run(SequentialRunner, RunOptions(engine=EngineSettings(max_attempts=3)), lambda row: None)
    assert {end.state for end in made.ends()} == {"kept"}
    assert len(raised) == 2


def test_an_item_that_is_left_over_alone_is_charged_when_the_command_is_given_again(tmp_path: Path) -> None:
    """Or it would stand in the way for ever."""
    run(tmp_path, {IDS[11]: OF_THE_ITEM["value"]})
    made = phase(tmp_path, {IDS[11]: SUSPECT["killed child"]})
    made.run(SequentialRunner, RunOptions(retry_failed=True), lambda row: None)
    assert [end.state for end in made.ends()].count("failed") == 1


@RUNNERS
@pytest.mark.parametrize("name", DEFECT)
def test_a_defect_of_the_first_items_ends_the_run(tmp_path: Path, runner: type[SequentialRunner], name: str) -> None:
    with pytest.raises(BrokenInstallation) as caught:
        run(tmp_path, dict.fromkeys(IDS, DEFECT[name]), runner)
    said = str(caught.value)
    assert said.startswith("stage double: ")
    assert all(word in said for word in ("Error in ", "x", "film.mp4", "then give the same command again"))
    assert set(left(tmp_path).values()) == {"pending"}
    assert set(run(tmp_path, {}, runner).values()) == {"kept"}


@pytest.mark.parametrize("count", range(1, MOST + 1))
def test_a_build_of_few_items_that_all_fail_with_a_defect_is_none_of_theirs(tmp_path: Path, count: int) -> None:
    made = Phase(
        "toys", [Faulty(dict.fromkeys(IDS, DEFECT["TypeError"]))], Store(str(tmp_path)), lambda: rows(clips(12)[:count])
    )
    with pytest.raises(BrokenInstallation, match="TypeError"):
        made.run(SequentialRunner, RunOptions(), lambda row: None)


@RUNNERS
@pytest.mark.parametrize("at", [(0,), (1, 6), (2, 5, 8, 11)])
def test_a_defect_among_items_that_pass_quarantines_its_item(
    tmp_path: Path, runner: type[SequentialRunner], at: tuple[int, ...]
) -> None:
    ends = run(tmp_path, {IDS[place]: DEFECT["TypeError"] for place in at}, runner)
    assert {key for key, state in ends.items() if state == "failed"} == {IDS[place] for place in at}


@pytest.mark.parametrize(("fault", "kind"), [("TypeError", BrokenInstallation), ("killed child", MachineTrouble)])
def test_items_that_are_dropped_prove_nothing(tmp_path: Path, fault: str, kind: type[DemixError]) -> None:
    """They are before the stage has done what fails on the others."""
    failing = dict.fromkeys(IDS[::2], (DEFECT | SUSPECT)[fault])
    with pytest.raises(kind):
        run(tmp_path, failing, dropped=IDS[1::2])


@pytest.mark.parametrize("name", OF_THE_ITEM)
def test_what_a_film_does_is_the_films_even_if_all_do_it(tmp_path: Path, name: str) -> None:
    assert set(run(tmp_path, dict.fromkeys(IDS, OF_THE_ITEM[name])).values()) == {"failed"}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), MachineTrouble),
        (MemoryError(), MachineTrouble),
        (AttributeError("no x"), BrokenInstallation),
        (ConfigError("the weights are missing"), ConfigError),
    ],
)
def test_a_stage_that_cannot_be_opened_costs_no_item(tmp_path: Path, fault: Exception, kind: type[DemixError]) -> None:
    class Closed(Double):
        def open(self, context: Any) -> None:
            raise fault

    made = Phase("toys", [Closed()], Store(str(tmp_path)), lambda: rows(clips(3)))
    with pytest.raises(kind):
        made.run(SequentialRunner, RunOptions(), lambda row: None)
    made.ledger.compact()
    assert {end.state for end in made.ends()} == {"pending"}


def test_errors_of_media_libraries_are_told_from_the_systems() -> None:
    """PyAV's derive from those of the system, and damaged media have them all."""
    import av.error

    damaged = av.error.OSError(errno.EIO, "Input/output error", "film.mp4")
    assert isinstance(damaged, OSError)
    assert trouble_in(damaged) is None
    assert doubt_about(damaged) is None
    wrapped = RuntimeError("cannot write")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device", "x.flac")
    assert "x.flac: no space is left on the device" in str(trouble_in(wrapped))


def test_what_a_worker_of_an_earlier_run_notes_late_is_not_about_this_one(tmp_path: Path) -> None:
    late, now = Doubts(Store(tmp_path), "one"), Doubts(Store(tmp_path), "two")
    now.clear()
    entry = Entry.of("a", "double", "f", Failed("MachineSuspected", "ended by SIGKILL"), 1, 0.0)
    late.add(entry, Doubt("machine", "ended by SIGKILL"), "film.mp4")
    assert now.of() == []
    assert [note.entry for note in late.of()] == [entry]
