"""Bins beside a threshold: exact, whatever the values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.report.histogram import BINS, histogram

finite = st.floats(-1e6, 1e6, allow_subnormal=False) | st.integers(-60, 60).map(float) | st.sampled_from([-45.0, 0.15])
values = st.lists(finite, min_size=1, max_size=60)


@given(values, st.lists(finite, max_size=60), finite, st.booleans())
def test_every_inner_edge_counts_exactly(kept: list[float], others: list[float], threshold: float, most: bool) -> None:
    found = histogram(kept, others, threshold, right_closed=most)
    assert threshold in found.edges[1:-1]
    assert len(found.kept) <= 2 * BINS
    assert list(found.edges) == sorted(set(found.edges))
    for index, edge in enumerate(found.edges[1:-1], start=1):
        for counts, numbers in ((found.kept, kept), (found.others, others)):
            beside = sum(counts[:index]) if most else sum(counts[index:])
            assert beside == sum(value <= edge if most else value >= edge for value in numbers)


@given(values, st.lists(finite, max_size=60))
def test_every_value_is_counted_once_without_a_threshold(kept: list[float], others: list[float]) -> None:
    found = histogram(kept, others)
    assert (sum(found.kept), sum(found.others)) == (len(kept), len(others))
    assert 1 <= len(found.kept) <= 2 * BINS


def test_whole_numbers_get_a_bin_each() -> None:
    found = histogram([0, 1, 1, 2, 5], [1])
    assert found.discrete
    assert found.edges[:3] == (0, 1, 2)
    assert found.kept == (1, 2, 1, 0, 0, 1)


def test_one_far_outlier_does_not_flatten_the_rest() -> None:
    found = histogram([0.01 * step for step in range(200)] + [1e6], [])
    assert found.edges[-1] < 10
    assert sum(found.kept) == 201


@pytest.mark.parametrize("value", [0.0, -120.0, 1e9, 3e-7])
def test_all_values_equal(value: float) -> None:
    assert sum(histogram([value] * 5, []).kept) == 5


@pytest.mark.parametrize("most", [False, True])
@pytest.mark.parametrize(
    ("values", "threshold"),
    [
        ([-120.0, -119.5, -83.0, -44.0, -12.0], -45.0),
        ([0.0, 0.31, 0.55, 0.9, 1.0], 0.3),
        ([0.0, 0.0004, 0.0021, 0.034], 0.01),
        ([0.0, 0.1, 0.37, 1.0], None),
    ],
)
def test_the_axis_ends_where_the_values_end(values: list[float], threshold: float | None, most: bool) -> None:
    """No axis from -121 dB, -0.01 or -5.55e-17 on: nothing can be measured there."""
    found = histogram(values, [], threshold, right_closed=most)
    assert found.ends == (pytest.approx(min(values)), pytest.approx(max(values)))
    assert all(edge == 0 or abs(edge) > 1e-6 for edge in found.edges)


@pytest.mark.parametrize("most", [False, True])
def test_the_axis_names_whole_numbers_themselves(most: bool) -> None:
    assert histogram([0, 1, 1, 3], [], 2, right_closed=most).ends == (0, 3)
