"""The same promises in processes of our own: those that die, hang, raise, and that nobody waits for any more."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from demix.config import ConfigError
from demix.engine.local import LocalRunner, fits
from demix.engine.phase import Phase
from demix.engine.runner import EngineSettings, RunOptions
from demix.errors import MachineTrouble
from demix.stage import Resources, Stage
from demix.store import Store
from tests.engine.toys import Double, Judge, Square, ToySettings, clips, rows, runs


@pytest.fixture
def runner() -> Iterator[LocalRunner]:
    made = LocalRunner(2)
    yield made
    made.close()


class Impatient(Double):
    timeout_seconds = 1.0


class Elsewhere(Square):
    resources = Resources(cpus=1, pool="elsewhere")


def run(runner: LocalRunner, root: Path, *stages: Stage, count: int = 12) -> dict[str, str]:
    made = Phase("toys", stages, Store(str(root)), lambda: rows(clips(count)))
    seen: list[str] = []
    options = RunOptions(engine=EngineSettings(batch_rows=3, max_attempts=2), log_folder=root / "logs")
    made.run(lambda: runner, options, lambda row: seen.append(row.id))
    assert sorted(seen) == [clip.id for clip in clips(count)]
    return {end.item.id: end.entry.body if end.entry and end.state == "failed" else end.state for end in made.ends()}


def test_answers_are_those_of_one_process_in_every_run(runner: LocalRunner, tmp_path: Path) -> None:
    expected = {clip.id: "kept" if (2 * clip.ordinal) ** 2 % 3 else "dropped" for clip in clips(12)}
    for folder in ("first", "second"):  # the same processes, for another work store
        assert run(runner, tmp_path / folder, Double(), Square(), Judge()) == expected
    assert len(set(runner.map(_process, range(20)))) <= 2


def _process(_: int) -> int:
    return os.getpid()


def test_a_worker_that_dies_costs_a_retry_and_not_the_run(runner: LocalRunner, tmp_path: Path) -> None:
    victim = clips(12)[4].id
    journal = str(tmp_path / "j")
    states = run(runner, tmp_path / "w", Double(ToySettings(behaviour={victim: "die once"}, journal=journal)))
    assert set(states.values()) == {"kept"}
    assert runs(Path(journal), "double", victim) == 2


def test_an_item_that_kills_every_worker_is_quarantined_alone(runner: LocalRunner, tmp_path: Path) -> None:
    killer = clips(12)[7].id
    journal = str(tmp_path / "j")
    states = run(runner, tmp_path / "w", Double(ToySettings(behaviour={killer: "die"}, journal=journal)))
    assert {key for key, state in states.items() if state != "kept"} == {killer}
    assert "WorkerDied" in states[killer]
    assert runs(Path(journal), "double", killer) == 3, "once with its neighbours, twice alone"


def test_an_item_that_hangs_is_quarantined_alone(runner: LocalRunner, tmp_path: Path) -> None:
    stuck = clips(6)[1].id
    states = run(runner, tmp_path, Impatient(ToySettings(behaviour={stuck: "hang"})), count=6)
    assert {key for key, state in states.items() if state != "kept"} == {stuck}
    assert "no answer within" in states[stuck]


def test_a_setting_that_cannot_be_used_ends_the_run_with_its_own_sentence(runner: LocalRunner, tmp_path: Path) -> None:
    refused = clips(12)[2].id
    with pytest.raises(ConfigError) as caught:
        run(runner, tmp_path, Double(ToySettings(behaviour={refused: "refuse"})))
    assert str(caught.value) == "the key is wrong; give another"


def test_functions_are_called_once_each_and_their_errors_come_back(runner: LocalRunner) -> None:
    assert sorted(runner.map(abs, range(-9, 0))) == list(range(1, 10))
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        list(runner.map(_root, [4.0, -4.0]))


def _root(value: float) -> float:
    import math

    return math.sqrt(value)


def test_processes_that_die_for_no_reason_end_the_run_as_trouble_of_the_machine(runner: LocalRunner) -> None:
    with pytest.raises(MachineTrouble, match="died one after the other"):
        list(runner.map(os._exit, [1]))


def test_nothing_is_left_running_where_a_run_is_given_up(runner: LocalRunner, tmp_path: Path) -> None:
    answers = runner.map(_sleep, [0.0, 60.0, 60.0])
    assert next(answers) == 0.0
    workers = [child for child in psutil.Process().children() if "demix.engine.local_worker" in child.cmdline()]
    assert workers
    answers.close()  # type: ignore[attr-defined]
    _, alive = psutil.wait_procs(workers, timeout=5)
    assert not alive


def _sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def test_what_needs_ray_is_left_to_it() -> None:
    def steps(*stages: Stage) -> tuple[object, ...]:
        return Phase("toys", stages, Store("/nowhere"), lambda: []).steps

    cpu = EngineSettings(device="cpu")
    assert fits(steps(Double(), Square()), cpu)  # type: ignore[arg-type]
    assert not fits(steps(Double(), Elsewhere()), cpu)  # type: ignore[arg-type]
    assert not fits(steps(Double()), EngineSettings(device="cuda"))  # type: ignore[arg-type]
    assert not fits(steps(Double()), EngineSettings(device="cpu", pools={"default": {"max_workers": 1}}))  # type: ignore[arg-type, dict-item]
