"""The Fréchet distance between two sets of features, each taken for a Gaussian, without the square root of a matrix.

d = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr sqrt(S1 S2). With S = F' F the last trace is the sum of the singular values of
F1 F2': always real, never negative, and exact where the covariances have no full rank (fewer videos than features),
where `scipy.linalg.sqrtm` drifts off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Gaussian:
    mean: np.ndarray
    """(features,)"""
    factor: np.ndarray
    """(rows, features): the covariance is factor' factor."""

    @classmethod
    def of_samples(cls, samples: np.ndarray) -> Gaussian:
        """Mean and covariance (over n - 1) of `samples` (n, features). Raises ValueError below two samples."""
        if samples.ndim != 2 or len(samples) < 2:
            raise ValueError(f"a covariance needs at least two rows of features, not an array of shape {samples.shape}")
        samples = samples.astype(np.float64)
        if not np.isfinite(samples).all():
            raise ValueError("the features hold numbers that are not finite")
        mean = samples.mean(0)
        centred = (samples - mean) / np.sqrt(len(samples) - 1)
        # The triangle of a QR decomposition has the same product with itself, and no more rows than features.
        return cls(mean, centred if len(samples) <= samples.shape[1] else np.asarray(np.linalg.qr(centred, mode="r")))

    @classmethod
    def of_moments(cls, mean: np.ndarray, covariance: np.ndarray) -> Gaussian:
        """From published statistics: `mean` (features,), symmetric `covariance` (features, features)."""
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        return cls(np.asarray(mean, np.float64), np.sqrt(values.clip(min=0))[:, None] * vectors.T)


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """Squared 2-Wasserstein distance of the two; symmetric, 0 for equal ones up to rounding, never below 0."""
    if one.mean.shape != other.mean.shape:
        raise ValueError(f"features of {one.mean.shape} and {other.mean.shape} cannot be compared")
    apart = np.square(one.mean - other.mean).sum()
    spread = np.square(one.factor).sum() + np.square(other.factor).sum()
    shared = np.linalg.svd(one.factor @ other.factor.T, compute_uv=False).sum()
    return max(float(apart + spread - 2 * shared), 0.0)
