"""The Fréchet distance: closed forms, symmetry, singular covariances, scipy where scipy is stable, the reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from mtv_train.evaluate.bootstrap import mean_interval, set_interval
from mtv_train.evaluate.frechet import Gaussian, frechet_distance
from tests.mtv_train.evaluate.conftest import Vector


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return frechet_distance(Gaussian.of_samples(one), Gaussian.of_samples(other))


def samples(seed: int, rows: int, features: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, features)) @ rng.normal(size=(features, features)) + rng.normal(size=features)


def test_diagonal_gaussians_have_a_closed_form() -> None:
    """|m1 - m2|^2 + sum (s1 - s2)^2"""
    rng = np.random.default_rng(0)
    means, scales = rng.normal(size=(2, 12)), rng.uniform(0, 3, (2, 12))
    one, other = (Gaussian.of_moments(mean, np.diag(scale**2)) for mean, scale in zip(means, scales, strict=True))
    wanted = np.square(means[0] - means[1]).sum() + np.square(scales[0] - scales[1]).sum()
    assert frechet_distance(one, other) == pytest.approx(wanted, rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(2, 12), st.integers(2, 12), st.integers(1, 6))
def test_symmetry_shift_scale_and_self_distance(seed: int, n: int, m: int, features: int) -> None:
    one, other = samples(seed, n, features), samples(seed + 1000, m, features)
    between = distance(one, other)
    assert distance(other, one) == pytest.approx(between, rel=1e-9, abs=1e-9)
    size = np.abs(one).max() ** 2 + 1
    assert distance(one, one) == pytest.approx(0, abs=1e-10 * size * features)
    shift = np.arange(features) + 1.0
    assert distance(one, one + shift) == pytest.approx(shift @ shift, rel=1e-6)
    assert distance(3 * one, 3 * other) == pytest.approx(9 * between, rel=1e-6, abs=1e-7)


def test_order_of_the_videos_does_not_matter() -> None:
    one, other = samples(1, 30, 8), samples(2, 40, 8)
    assert distance(one[::-1], np.random.default_rng(0).permutation(other)) == pytest.approx(distance(one, other))


def test_agrees_with_the_square_root_of_a_matrix_where_that_is_stable() -> None:
    one, other = samples(3, 500, 16), samples(4, 400, 16)
    covariances = [np.cov(rows, rowvar=False) for rows in (one, other)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    apart = np.square(one.mean(0) - other.mean(0)).sum()
    wanted = apart + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert distance(one, other) == pytest.approx(wanted, rel=1e-9)
    moments = (Gaussian.of_moments(rows.mean(0), cov) for rows, cov in zip((one, other), covariances, strict=True))
    assert frechet_distance(*moments) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("rows", [50, 1000])
@pytest.mark.parametrize("features", [16, 400])
def test_reference(vector: Callable[[str], Vector], rows: int, features: int) -> None:
    """n = 50 with 400 features is the paper's case: rank 49, where sqrtm drifts and this does not."""
    reference = vector("fvd_frechet")
    name = f"n{rows}_d{features}"
    fake = reference.input(f"fvd_fake_{name}", (rows, features)).astype(np.float64)
    mix = np.asarray(reference.rule.value(f"fvd_mix_d{features}.mix", (features, features)))
    real = 1.2 * (reference.input(f"fvd_real_{name}", (rows, features)).astype(np.float64) @ mix) + 0.3
    assert distance(fake, real) == pytest.approx(float(reference[f"{name}.exact"]), rel=1e-6)
    assert distance(fake, real) == pytest.approx(float(reference[f"{name}.scipy"]), rel=1e-6)
    assert distance(fake, fake) == pytest.approx(0, abs=1e-9)


def test_features_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="at least two rows"):
        Gaussian.of_samples(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="not finite"):
        Gaussian.of_samples(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="cannot be compared"):
        distance(np.zeros((3, 2)), np.zeros((3, 4)))


def test_interval_of_a_mean() -> None:
    values = list(np.random.default_rng(5).normal(10, 2, 400))
    interval = mean_interval(values, seed=0)
    assert interval is not None
    assert interval.low < np.mean(values) < interval.high
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 2 / 20, rel=0.15)
    assert mean_interval(values[::-1], seed=0) == interval
    assert mean_interval([1.0], seed=0) is None


def test_interval_of_a_set_is_centred_on_its_value() -> None:
    """Plain percentiles would leave the distance itself outside: resampled sets hold fewer different videos."""
    fixed, rows = Gaussian.of_samples(samples(6, 60, 30)), samples(7, 40, 30)
    value = frechet_distance(Gaussian.of_samples(rows), fixed)
    interval = set_interval(lambda chosen: frechet_distance(Gaussian.of_samples(chosen), fixed), rows, seed=0)
    assert interval is not None
    assert interval.low < value < interval.high
    again = set_interval(lambda chosen: frechet_distance(Gaussian.of_samples(chosen), fixed), rows[::-1], seed=0)
    assert again is not None
    assert again.low == pytest.approx(interval.low)
