"""The ledger keeps every answer once, whatever happens between two of its steps."""

from __future__ import annotations

import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from demix.engine.ledger import Entry, Ledger
from demix.stage import Dropped, Failed, Kept
from demix.store import Store

outcomes = st.sampled_from([Kept(), Dropped("why", {"x": 1.5}), Failed("E", "m", "d")])
keys = st.integers(0, 40).map(lambda n: f"{n * 6700417 % 2**32:08x}")


@given(st.lists(st.lists(st.tuples(keys, st.sampled_from("ab"), outcomes, st.integers(1, 3)), max_size=8), max_size=6))
@settings(max_examples=40, deadline=None)
def test_compaction_changes_no_answer_and_success_beats_failure(parts):
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Store(folder))
        best: dict[tuple[str, str], int] = {}
        for part in parts:
            ledger.append([Entry.of(key, stage, "f", outcome, tries, 0.1) for key, stage, outcome, tries in part])
            for key, stage, outcome, _ in part:
                best[key, stage] = max(best.get((key, stage), 0), 0 if isinstance(outcome, Failed) else 1)
            if len(part) % 2:
                ledger.compact()
        ids = sorted({key for key, _ in best})
        before = {stage: ledger.find(stage, "f", ids, fresh=True) for stage in "ab"}
        ledger.compact()
        after = {stage: ledger.find(stage, "f", ids) for stage in "ab"}
        for stage in "ab":
            assert {key: entry.status for key, entry in before[stage].items()} == ledger.statuses(stage, "f", ids)
            assert after[stage].keys() == {key for key, known in best if known == stage}
        for (key, stage), succeeded in best.items():
            assert (after[stage][key].status != "failed") == bool(succeeded)


def test_a_crash_between_merging_and_removing_the_parts_doubles_nothing(tmp_path, monkeypatch):
    ledger = Ledger(Store(str(tmp_path)))
    ledger.append([Entry.of(f"{n:x}f", "s", "f", Kept(), 1, 0.0) for n in range(16)])
    with monkeypatch.context() as patch:
        patch.setattr(Store, "remove", lambda self, key: None)
        ledger.compact()
    ledger.compact()
    assert ledger.totals("s", "f")[0] == 16


def test_entries_of_another_fingerprint_are_not_seen(tmp_path):
    ledger = Ledger(Store(str(tmp_path)))
    ledger.append([Entry.of("ab", "s", "old", Kept(), 1, 0.0)])
    assert ledger.find("s", "new", ["ab"], fresh=True) == {}
    ledger.compact()
    assert ledger.find("s", "new", ["ab"]) == {}
