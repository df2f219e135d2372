"""What a moved threshold costs: judges only, where the build was started, and nobody measures again in vain."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from demix.engine.phase import Phase
from demix.engine.runner import EngineSettings, Runner, RunOptions
from demix.engine.sequential import SequentialRunner
from demix.records import Record
from demix.stage import Dropped, Item, Kept, Outcome
from demix.store import Store
from tests.engine.toys import Doubled, Squared, Toy, ToySettings, clips, rows, runs

COUNT = 12


class Size(Record):
    name: ClassVar[str] = "size"
    large: bool


class Sized(Toy):
    """Judges: large from `factor` on; drops those below `seconds`, of which its record says nothing."""

    name = "sized"
    needs = (Doubled,)
    adds = Size
    judges = True

    def one(self, item: Item) -> Outcome:
        self.note(item)
        value = item[Doubled].value
        return Dropped("unwanted") if value < self.toy.seconds else Kept(Size(large=value >= self.toy.factor))


class Measure(Toy):
    """Stands for a model that is told what the judge found."""

    name = "double"
    adds = Doubled

    def record(self, item: Item) -> Doubled:
        return Doubled(value=2 * item.clip.ordinal)


class Told(Toy):
    name = "told"
    needs = (Doubled, Size)
    by_content = (Size,)
    adds = Squared

    def record(self, item: Item) -> Squared:
        return Squared(value=item[Doubled].value + item[Size].large)


def build(folder: Path, limit: int, least: float = 0.0) -> Phase:
    journal = str(folder / "journal")
    sized = Sized(ToySettings(factor=limit, seconds=least, journal=journal))
    stages = [Measure(ToySettings(journal=journal)), sized, Told(ToySettings(journal=journal))]
    return Phase("toys", stages, Store(str(folder / "work")), lambda: rows(clips(COUNT)))


def run(phase: Phase, runner: type[SequentialRunner] | None = SequentialRunner) -> list[str]:
    def make() -> Runner:
        assert runner is not None, "nothing but judging was left to do, and a runner was asked for"
        return runner()

    done: list[str] = []
    phase.run(make, RunOptions(engine=EngineSettings(batch_rows=5)), lambda row: done.append(row.state))
    return done


def asked(folder: Path, stage: str) -> int:
    """How often a stage ran, over all clips."""
    return sum(runs(folder / "journal", stage, clip.id) for clip in clips(COUNT))


def states(phase: Phase) -> dict[int, str]:
    return {end.item.clip.ordinal: end.state for end in phase.ends()}


def test_a_stricter_threshold_is_judged_without_workers_and_measures_nothing(tmp_path: Path) -> None:
    run(build(tmp_path, limit=10))
    strict = build(tmp_path, limit=10, least=6.5)
    assert strict.progress()[0] == {"double": COUNT, "sized": 0, "told": 0}
    assert sorted(run(strict, runner=None)) == ["dropped"] * 4 + ["kept"] * 8
    assert states(strict) == {n: "kept" if 2 * n >= 6.5 else "dropped" for n in range(COUNT)}
    assert (asked(tmp_path, "double"), asked(tmp_path, "told")) == (COUNT, COUNT)
    assert run(build(tmp_path, limit=10), runner=None) == [], "the old answers are there still"


def test_who_goes_by_content_is_asked_again_only_where_it_changed(tmp_path: Path) -> None:
    run(build(tmp_path, limit=10))
    moved = build(tmp_path, limit=16)
    assert moved.progress()[1] == {"double": 0, "sized": COUNT, "told": COUNT}, "nobody knows yet what it will say"
    run(moved)
    changed = sum(10 <= 2 * n < 16 for n in range(COUNT))
    assert changed
    assert asked(tmp_path, "told") == COUNT + changed
    assert {end.item.clip.ordinal: end.item[Squared].value for end in moved.ends()} == {
        n: 2 * n + (2 * n >= 16) for n in range(COUNT)
    }


def test_a_looser_threshold_leaves_what_was_never_measured_to_workers(tmp_path: Path) -> None:
    run(build(tmp_path, limit=10, least=6.5))
    before = asked(tmp_path, "told")
    loose = build(tmp_path, limit=10)
    run(loose)
    assert set(states(loose).values()) == {"kept"}
    assert (asked(tmp_path, "double"), asked(tmp_path, "told")) == (COUNT, before + 4)


def test_what_a_judge_fails_on_is_left_to_the_workers_and_ends_in_quarantine(tmp_path: Path) -> None:
    bad = clips(COUNT)[3].id
    raising = Sized(ToySettings(behaviour={bad: "raise"}))

    class Poisoned(Sized):
        def one(self, item: Item) -> Outcome:
            return Toy.one(self, item)

        def record(self, item: Item) -> Size:
            return Size(large=True)

    poisoned = Poisoned(raising.toy)
    phase = Phase("toys", [Measure(), poisoned, Told()], Store(str(tmp_path)), lambda: rows(clips(COUNT)))
    run(phase)
    failed = [end for end in phase.ends() if end.state == "failed"]
    assert [end.item.id for end in failed] == [bad]
