"""Claims name the items that a dead worker was busy with, while other workers come and go."""

from __future__ import annotations

from pathlib import Path

import pytest

from demix.engine.claims import Claims
from demix.store import Store


def test_an_item_is_charged_with_the_deaths_that_it_was_alone_in(tmp_path: Path) -> None:
    claims = Claims(Store(str(tmp_path)))
    left_behind = [claims.held("cut", ["a", "b"]), claims.held("cut", ["a"]), claims.held("listen", ["c"])]
    for one in left_behind:
        one.__enter__()
    assert claims.deaths(["a", "b", "c", "d"]) == {"cut": {"a": 1, "b": 0}, "listen": {"c": 1}}
    assert claims.deaths(["d"]) == {}
    claims.clear()
    assert claims.deaths(["a", "b", "c"]) == {}


def test_a_claim_that_is_gone_when_it_is_read_is_no_death_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker got done between the listing of the claims and the reading of its own."""
    store = Store(str(tmp_path))
    claims = Claims(store)
    with claims.held("cut", ["a"]):
        listed = store.keys("ledger/claims")
    monkeypatch.setattr(Store, "keys", lambda *_: listed)
    assert claims.deaths(["a"]) == {}
