"""Proposed thresholds keep what is wanted, spare no setting, and say of labelled clips what the labels say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.calibrate.columns import Column, Columns
from demix.calibrate.propose import for_labels, for_yield
from demix.config import ConfigError

numbers = st.floats(-1e4, 1e4, allow_subnormal=False, width=32) | st.just(float("nan"))


def made(*columns: Column) -> Columns:
    count = len(columns[0].values)
    return Columns(tuple(f"{n:016x}" for n in range(count)), np.ones(count, bool), columns)


def column(values: list[float], keeps: str = "at_least", setting: str = "a.b", threshold: float = 0.0) -> Column:
    return Column(setting, keeps, threshold, np.array(values, float))  # type: ignore[arg-type]


@given(
    st.lists(numbers, min_size=1, max_size=50), numbers.filter(np.isfinite), st.sampled_from(["at_least", "at_most"])
)
def test_a_neater_threshold_passes_what_the_exact_one_passed(values: list[float], threshold: float, keeps: str) -> None:
    one = column(values, keeps)
    near = one.neater(threshold)
    assert not (one.passes(threshold) & ~one.passes(near)).any()
    assert near == pytest.approx(threshold, rel=0.02, abs=1e-9)


@settings(max_examples=50)
@given(st.integers(0, 1000), st.floats(0.05, 1.0))
def test_the_wanted_yield_is_reached_and_hardly_exceeded(seed: int, keep: float) -> None:
    draw = np.random.default_rng(seed)
    loud = draw.normal(-40, 10, 400)
    apart = np.where(draw.random(400) < 0.3, np.nan, draw.exponential(0.1, 400))
    found = for_yield(made(column(loud.tolist()), column(apart.tolist(), "at_most", "c.d")), keep)
    assert keep <= found.reached <= keep + 0.03
    assert set(found.thresholds) == {"a.b", "c.d"}


def test_a_higher_yield_tightens_nothing_and_a_lower_one_loosens_nothing(columns: Columns) -> None:
    now = columns.passing({}).mean()
    for keep, passes_more in ((now + 0.1, True), (now - 0.1, False)):
        found = for_yield(columns, keep)
        for one in columns.columns:
            before, after = one.passes(one.threshold), one.passes(found.thresholds.get(one.setting, one.threshold))
            assert not ((before & ~after) if passes_more else (after & ~before)).any(), one.setting


def test_a_voice_over_is_one_at_any_threshold() -> None:
    """A share of 0 is never let through: the setting must be above it."""
    covered = column([0.0, 0.0, 0.0, 0.4, 0.9], setting="voice_over.min_covered_share", threshold=0.5)
    assert for_yield(made(covered), 0.4).thresholds == {"voice_over.min_covered_share": 0.4}
    with pytest.raises(ConfigError, match="drop nothing at all"):
        for_yield(made(covered), 0.6)


def test_every_setting_drops_the_same_share(columns: Columns) -> None:
    """On the made-up dataset: none is spared, and none decides alone. (Coverage by persons is 0 for most of those that
    it judges: no value of it drops just some of them.)"""
    found = for_yield(columns, 0.4)
    losses = {
        one.setting: 1 - one.passes(found.thresholds[one.setting])[one.judged].mean()
        for one in columns.columns
        if one.setting in found.thresholds and not one.setting.startswith("voice_over")
    }
    assert len(losses) == 4
    assert max(losses.values()) - min(losses.values()) < 0.06


def test_length_is_moved_only_if_it_is_asked_for(columns: Columns) -> None:
    assert "length.min_seconds" in columns.current
    assert "length.min_seconds" not in for_yield(columns, 0.4).thresholds
    assert set(for_yield(columns, 0.4, ["length.min_seconds"]).thresholds) == {"length.min_seconds"}


def test_what_cannot_be_had_is_said(columns: Columns) -> None:
    with pytest.raises(ConfigError, match="thresholds that drop nothing at all keep"):
        for_yield(columns, 1.0)
    with pytest.raises(ConfigError, match=r"--move demix_filter\.loudness"):
        for_yield(columns, 0.5, ["demix_filter.loudness"])
    with pytest.raises(ConfigError, match="none of the labels"):
        for_labels(columns, {"f" * 16: True}, 1.0)


def test_labels_that_thresholds_can_tell_apart_are_agreed_with() -> None:
    draw = np.random.default_rng(0)
    loud, apart = draw.uniform(-60, -20, 200), draw.uniform(0, 1, 200)
    clips = made(column(loud.tolist(), threshold=-60), column(apart.tolist(), "at_most", "c.d", 1.0))
    good = (loud >= -45) & (apart <= 0.3)
    found = for_labels(clips, dict(zip(clips.ids, good.tolist(), strict=True)), 1.0)
    assert found.reached > 0.98
    assert found.thresholds["a.b"] == pytest.approx(-45, abs=1.0)
    assert found.thresholds["c.d"] == pytest.approx(0.3, abs=0.03)


def test_thresholds_move_no_further_than_is_asked_for() -> None:
    clips = made(column([1.0, 2.0, 3.0, 4.0], threshold=0.0))
    labels = {name: n > 0 for n, name in enumerate(clips.ids)}
    assert for_labels(clips, labels, 0.75).thresholds == {"a.b": 0.0}
    assert for_labels(clips, labels, 1.0).thresholds == {"a.b": 2.0}


def test_labels_that_contradict_one_another_cannot_all_be_agreed_with() -> None:
    clips = made(column([1.0, 1.0, 1.0, 2.0], threshold=0.0))
    found = for_labels(clips, dict(zip(clips.ids, [True, False, False, True], strict=True)), 1.0)
    assert found.reached == 0.75
    assert found.thresholds == {"a.b": 2.0}
