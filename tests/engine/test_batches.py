"""A model that takes several items at once is handed as many, whatever runs it and however small a hand-over is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from demix.engine.local import LocalRunner
from demix.engine.phase import Phase
from demix.engine.runner import EngineSettings, Runner, RunOptions, rows_at_once
from demix.engine.sequential import SequentialRunner
from demix.engine.threads import ThreadRunner
from demix.engine.worker import Step
from demix.stage import Item, Outcome, Stage
from demix.store import Store
from tests.engine.toys import Double, Judge, Square, ToySettings, clips, rows


class Hungry(Double):
    """Takes eight, and notes how many it was given at once."""

    batch_size = 8

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        folder = Path(self.toy.journal) / "batches"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{items[0].id}-{len(items)}").touch()
        return super().run(items)


def batches(root: Path) -> list[int]:
    """Sizes of the batches, the largest first."""
    return sorted((int(path.name.rpartition("-")[2]) for path in (root / "batches").iterdir()), reverse=True)


def run(root: Path, make: Callable[[], Runner], *stages: Stage, count: int) -> None:
    made = Phase("toys", stages, Store(str(root / "w")), lambda: rows(clips(count)))
    engine = EngineSettings(batch_rows=4)
    runner = make()
    try:
        made.run(lambda: runner, RunOptions(engine=engine, total=count), lambda row: None)
    finally:
        runner.close()
    assert {end.state for end in made.ends()} <= {"kept", "dropped"}


@pytest.mark.parametrize("make", [SequentialRunner, lambda: ThreadRunner(2), lambda: LocalRunner(2)])
def test_whole_batches_reach_the_stage(tmp_path: Path, make: Callable[[], Runner]) -> None:
    run(tmp_path, make, Hungry(ToySettings(journal=str(tmp_path))), Square(), count=20)
    assert batches(tmp_path) == [8, 8, 4]


@pytest.mark.parametrize(("batch_rows", "handed"), [(1, 8), (4, 8), (8, 8), (20, 16)])
def test_a_hand_over_is_whole_batches(batch_rows: int, handed: int) -> None:
    """Of what measures; a judge looks at any number, and asks for none."""
    options = RunOptions(engine=EngineSettings(batch_rows=batch_rows), total=1000)
    judge = Judge()
    judge.judges, judge.batch_size = True, 256  # type: ignore[misc]
    steps = [Step(stage, "", "") for stage in (Hungry(), judge)]
    assert rows_at_once(steps, options, 2) == handed
    assert rows_at_once([Step(judge, "", "")], options, 2) == batch_rows
