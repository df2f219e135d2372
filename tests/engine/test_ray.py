"""The same promises on Ray: several processes, and processes that die."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray

from demix.config import ConfigError
from demix.engine import ray_runner, ray_start
from demix.engine.nodes import Nodes
from demix.engine.phase import Phase
from demix.engine.proof import Proof
from demix.engine.ray_runner import RayRunner
from demix.engine.runner import EngineSettings, RunOptions
from demix.errors import BrokenInstallation, MachineTrouble
from demix.stage import Kept, Resources
from demix.store import Store
from tests.engine.test_batches import Hungry, batches
from tests.engine.test_doubts import DEFECT, SUSPECT, TROUBLE, Faulty
from tests.engine.toys import Double, Judge, Square, Toy, ToySettings, clips, rows, runs


@pytest.fixture(scope="module")
def runner():
    ray_start.start("local", num_cpus=2)
    yield RayRunner(EngineSettings())
    ray.shutdown()


class Impatient(Double):
    timeout_seconds = 2.0


class Behind(Hungry):
    """In a pool of its own, behind a stage that lets everything through."""

    resources = Resources(cpus=0.5, pool="behind")


class First(Toy):
    name = "first"

    def one(self, item):
        return Kept()


class Elsewhere(Square):
    resources = Resources(cpus=1, pool="elsewhere")


def run(runner: RayRunner, root: Path, *stages, count: int = 12) -> dict[str, str]:
    made = Phase("toys", stages, Store(str(root)), lambda: rows(clips(count)))
    seen: list[str] = []
    options = RunOptions(engine=EngineSettings(batch_rows=3, max_attempts=2), log_folder=root / "logs")
    made.run(lambda: runner, options, lambda row: seen.append(row.id))
    assert sorted(seen) == [clip.id for clip in clips(count)]
    return {end.item.id: end.entry.body if end.state == "failed" else end.state for end in made.ends()}


def test_two_pools_give_the_same_answers_as_one_process(runner, tmp_path):
    states = run(runner, tmp_path, Double(), Elsewhere(), Judge())
    expected = {clip.id: "kept" if (2 * clip.ordinal) ** 2 % 3 else "dropped" for clip in clips(12)}
    assert states == expected


def test_a_worker_that_dies_costs_a_retry_and_not_the_run(runner, tmp_path):
    victim = clips(12)[4].id
    journal = str(tmp_path / "j")
    states = run(runner, tmp_path / "w", Double(ToySettings(behaviour={victim: "die once"}, journal=journal)))
    assert set(states.values()) == {"kept"}
    assert runs(Path(journal), "double", victim) == 2


def test_an_item_that_kills_every_worker_is_quarantined_alone(runner, tmp_path, capsys):
    killer = clips(12)[7].id
    journal = str(tmp_path / "j")
    states = run(runner, tmp_path / "w", Double(ToySettings(behaviour={killer: "die"}, journal=journal)))
    assert {key for key, state in states.items() if state != "kept"} == {killer}
    assert "WorkerDied" in states[killer]
    assert runs(Path(journal), "double", killer) == 3, "once with its neighbours, twice alone"
    said = capsys.readouterr()
    assert "raylet" not in said.out + said.err, "what Ray does about it is for the log"


@pytest.mark.slow
def test_an_item_that_hangs_is_quarantined_alone(runner, tmp_path):
    stuck = clips(6)[1].id
    states = run(runner, tmp_path, Impatient(ToySettings(behaviour={stuck: "hang"})), count=6)
    assert {key for key, state in states.items() if state != "kept"} == {stuck}
    assert "no answer within" in states[stuck]


def test_a_setting_that_cannot_be_used_ends_the_run_with_its_own_sentence(runner, tmp_path):
    """And not with a traceback of an actor, nor with every clip in quarantine."""
    refused = clips(12)[2].id
    with pytest.raises(ConfigError) as caught:
        run(runner, tmp_path, Double(ToySettings(behaviour={refused: "refuse"})))
    assert str(caught.value) == "the key is wrong; give another"


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (TROUBLE["ENOSPC"], MachineTrouble, "/some/where: no space is left on the device; make room"),
        (SUSPECT["killed child"], MachineTrouble, "stage double: ffmpeg was ended by SIGKILL"),
        (DEFECT["TypeError"], BrokenInstallation, "stage double: TypeError in tests/engine/test_doubts.py"),
    ],
    ids=["trouble", "suspected", "defect"],
)
def test_what_is_no_items_fault_ends_the_run_with_its_own_sentence(runner, tmp_path, fault, kind, says):
    """With workers side by side, none of which sees all items; and the items stay pending."""
    with pytest.raises(kind) as caught:
        run(runner, tmp_path, Faulty(dict.fromkeys((clip.id for clip in clips(12)), fault)))
    assert str(caught.value).startswith(says)
    assert str(caught.value).count("\n") == 0, "a sentence, and not an actor's traceback"
    assert set(run(runner, tmp_path, Faulty({})).values()) == {"kept"}


def test_map_runs_every_argument_once(runner):
    assert sorted(runner.map(abs, range(-9, 0))) == list(range(1, 10))


def test_map_ends_with_a_sentence_where_no_node_is_fit(runner, tmp_path, monkeypatch):
    """The only node was fit when it was asked, and its worker finds that it is not any more."""
    monkeypatch.setattr(ray_runner, "_REFUSED_SECONDS", 1.0)
    nodes = Nodes(Proof(token="gone", places=(("--output", str(tmp_path)),)))
    monkeypatch.setattr(nodes, "placement", dict)
    monkeypatch.setattr(runner, "_nodes", nodes)
    with pytest.raises(MachineTrouble, match="No other node has answered since"):
        list(runner.map(abs, [-1, -2]))


def test_a_model_that_takes_eight_is_handed_eight(runner, tmp_path):
    """Behind a pool that answers fewer at a time, and although a hand-over is three."""
    run(runner, tmp_path / "w", First(), Behind(ToySettings(journal=str(tmp_path))), count=20)
    assert batches(tmp_path) == [8, 8, 4]
