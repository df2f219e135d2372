"""What the engine promises, shown with toy stages on the sequential runner (tests/engine/test_ray.py: on Ray)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.config import ConfigError
from demix.engine.attempt import ContractError
from demix.engine.funnel import Funnel
from demix.engine.phase import Phase, PhaseError
from demix.engine.runner import EngineSettings, RunOptions
from demix.engine.sequential import SequentialRunner
from demix.store import Store
from tests.engine.toys import Double, Judge, Square, Squared, ToySettings, clips, rows, runs


def phase(root: Path, *stages, count: int = 12) -> Phase:
    return Phase("toys", stages, Store(str(root)), lambda: rows(clips(count)))


def run(made: Phase, **options) -> list[str]:
    done: list[str] = []
    engine = EngineSettings(batch_rows=options.pop("batch_rows", 5))
    made.run(SequentialRunner, RunOptions(engine=engine, **options), lambda row: done.append(row.id))
    return done


def states(made: Phase) -> dict[str, str]:
    return {end.item.id: end.state for end in made.ends()}


def test_every_item_is_accounted_for_in_every_stage(tmp_path):
    ids = [clip.id for clip in clips(12)]
    wild = ToySettings(
        behaviour={ids[1]: "drop", ids[2]: "fail", ids[3]: "raise", ids[4]: "flaky"}, journal=str(tmp_path / "j")
    )
    made = phase(tmp_path / "w", Double(wild), Square(), Judge())
    run(made)
    funnel = Funnel([step.stage.name for step in made.steps])
    for end in made.ends():
        funnel.add(end.entry.stage if end.entry else "", end.state, end.entry.reason if end.entry else "")
    funnel.check()
    assert funnel.total == 12
    assert [count.failed for count in funnel.stages] == [2, 0, 0]
    assert funnel.stages[0].dropped == Counter(unwanted=1)
    assert states(made)[ids[4]] != "failed", "what fails twice and then works is no failure"


def test_one_bad_item_never_costs_its_neighbours(tmp_path):
    bad = clips(12)[4].id
    made = phase(tmp_path, Double(ToySettings(behaviour={bad: "raise"})))
    run(made)
    ends = {end.item.id: end for end in made.ends()}
    assert [key for key, end in ends.items() if end.state == "failed"] == [bad]
    assert "is poison" in ends[bad].entry.body
    assert "raise ValueError" in ends[bad].entry.body


def test_a_second_run_does_no_work_and_asks_for_no_runner(tmp_path):
    made = phase(tmp_path, Double(), Square(), Judge())
    assert len(run(made)) == 12

    def no_runner():
        raise AssertionError("a finished phase must not start a cluster")

    made.run(no_runner, RunOptions(), lambda row: None)


def test_a_changed_setting_reruns_its_stage_and_the_dependents_only(tmp_path):
    journal = tmp_path / "j"

    def build(factor: int, seconds: float = 0.0) -> Phase:
        journaled = ToySettings(journal=str(journal))
        first = phase(
            tmp_path / "w",
            Double(journaled),
            Square(ToySettings(journal=str(journal), factor=factor)),
            Judge(journaled),
        )
        run(first)
        return first

    build(2)
    build(3)
    ids = [clip.id for clip in clips(12)]
    assert {runs(journal, "double", key) for key in ids} == {1}
    assert {runs(journal, "square", key) for key in ids} == {2}


def test_a_stage_whose_needs_nobody_meets_is_refused(tmp_path):
    with pytest.raises(PhaseError, match="square needs doubled"):
        phase(tmp_path, Square(), Double())


@pytest.mark.parametrize("fault", ["too few", "undeclared reason"])
def test_a_stage_that_breaks_the_contract_stops_the_run(tmp_path, fault):
    class Short(Double):
        def run(self, items):
            return super().run(items)[:-1]

    bad = clips(12)[0].id
    broken = Short() if fault == "too few" else Double(ToySettings(behaviour={bad: "undeclared"}))
    with pytest.raises(ContractError):
        run(phase(tmp_path, broken))


def test_a_setting_that_cannot_be_used_stops_the_run_and_what_was_answered_is_kept(tmp_path):
    """Such as a key that a service refuses: the next run goes on where this one stopped."""
    ids = [clip.id for clip in clips(12)]
    journal = str(tmp_path / "j")
    with pytest.raises(ConfigError, match="the key is wrong"):
        run(phase(tmp_path / "w", Double(ToySettings(behaviour={ids[7]: "refuse"}, journal=journal))))
    mended = phase(tmp_path / "w", Double(ToySettings(behaviour={ids[7]: "refuse"}, journal=journal)))
    mended.ledger.compact()
    answered = mended.ledger.statuses("double", mended.steps[0].fingerprint, [clip.key for clip in clips(12)])
    assert list(answered.values()) == ["kept"] * 5, "the first batch was done"


def test_a_hung_item_fails_alone(tmp_path):
    stuck = clips(6)[2].id

    class Impatient(Double):
        timeout_seconds = 0.3

    made = phase(tmp_path, Impatient(ToySettings(behaviour={stuck: "hang"})), count=6)
    run(made)
    assert [key for key, state in states(made).items() if state == "failed"] == [stuck]


def test_failed_items_are_tried_again_only_when_asked(tmp_path):
    bad = clips(12)[5].id
    made = phase(tmp_path / "w", Double(ToySettings(behaviour={bad: "fail"}, journal=str(tmp_path / "j"))))
    run(made)
    assert run(made) == []
    assert run(made, retry_failed=True) == [bad]
    assert runs(tmp_path / "j", "double", bad) == 2


def test_media_that_a_purge_removed_are_made_again_by_the_stage_that_made_them(tmp_path):
    journal = str(tmp_path / "j")
    run(phase(tmp_path / "w", Double(ToySettings(journal=journal))))
    Store(str(tmp_path / "w")).remove("media")
    made = phase(tmp_path / "w", Double(ToySettings(journal=journal)), Square())
    run(made)
    values = {end.item.clip.ordinal: end.item[Squared].value for end in made.ends()}
    assert values == {n: (2 * n) ** 2 for n in range(12)}
    assert {runs(Path(journal), "double", clip.id) for clip in clips(12)} == {2}


def test_media_whose_maker_hangs_cost_their_own_clip_only(tmp_path):
    class Impatient(Double):
        timeout_seconds = 0.3

    run(phase(tmp_path / "w", Impatient(), count=6))
    stuck = clips(6)[2].id
    Store(str(tmp_path / "w")).remove("media")
    maker = Impatient()
    made = phase(tmp_path / "w", maker, Square(), count=6)
    maker.toy = ToySettings(behaviour={stuck: "hang"})  # the same question to the ledger: its answers are known
    run(made)
    ends = {end.item.id: end for end in made.ends()}
    assert [key for key, end in ends.items() if end.state == "failed"] == [stuck]
    assert "MediaLost" in ends[stuck].entry.body


def test_another_kind_of_source_is_another_question(tmp_path):
    """What a stage may see of a subject besides its content is part of what its answers are kept under."""
    journal = tmp_path / "j"
    for kind in ("cinematic", "talking_head", "cinematic"):
        named = [clip.model_copy(update={"kind": kind}) for clip in clips(3)]
        run(Phase("toys", [Double(ToySettings(journal=str(journal)))], Store(str(tmp_path)), lambda n=named: rows(n)))
    assert {runs(journal, "double", clip.id) for clip in clips(3)} == {2}


@given(st.integers(1, 9), st.integers(0, 14))
@settings(max_examples=15, deadline=None)
def test_the_answers_do_not_depend_on_how_items_are_batched(tmp_path_factory, batch_rows, count):
    made = phase(tmp_path_factory.mktemp("w"), Double(), Square(), Judge(), count=count)
    assert sorted(run(made, batch_rows=batch_rows)) == [clip.id for clip in clips(count)]
    kept = {end.item.clip.ordinal for end in made.ends() if end.state == "kept"}
    assert kept == {n for n in range(count) if (2 * n) ** 2 % 3}
