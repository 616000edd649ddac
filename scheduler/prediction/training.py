"""Fitting a predictor, how good it is on prompts it has not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh

from core.profiles import QualityTable
from scheduler.prediction.gaussian_process import VARIANCE_ROWS, Array, Figures, Predictor, kernel

HELD_OUT = 0.2
MAX_ROWS = 8000  # the process is cubic in rows: 6,000 take ten seconds a noise
NOISES = (0.1, 0.3, 0.6, 1.0, 2.0, 4.0, 8.0, 1e3)  # variance of the noise, tried a level; the kernel's is `DIAGONAL`


def train(table: QualityTable, features: Array, *, seed: int = 0, version: int = 1, of: str = "") -> Predictor:
    """Fit on a quality table whose prompts have these features (N, F).

    The figures are of a fit to four fifths, on the fifth held out. Tables of more than `MAX_ROWS` are sampled.
    """
    order = np.random.default_rng(seed).permutation(len(table))[:MAX_ROWS]
    cut = max(1, int(len(order) * HELD_OUT))
    held, rest = order[:cut], order[cut:]
    figures = evaluate(fitted(table, features, rest), features[held], table.values[held])
    return replace(fitted(table, features, order), figures=figures, version=version, of=of)


def fitted(table: QualityTable, features: Array, rows: Array) -> Predictor:
    """The process over these rows of the table."""
    features, quality = features[rows].astype(np.float16).astype(np.float64), table.values[rows]
    means, scale = quality.mean(axis=0), np.maximum(quality.std(axis=0), 1e-6)
    targets, covariance = (quality - means) / scale, kernel(features, features)
    noise, weights = _noise(covariance[:VARIANCE_ROWS, :VARIANCE_ROWS], targets[:VARIANCE_ROWS]), np.empty_like(targets)
    for one in np.unique(noise):
        mine = noise == one
        weights[:, mine] = cho_solve(
            cho_factor(covariance + one * np.eye(len(rows)), overwrite_a=True), targets[:, mine]
        )
    return Predictor(table.levels, features, weights, noise, means, scale)


def _noise(covariance: Array, targets: Array) -> Array:
    """The noise (L,) with the least error of targets (N, L) when each row is left out (equations 5.10 and 5.12)."""
    values, vectors = eigh(covariance + 1.0)  # + 1: the mean is left out as well
    errors = []
    for noise in NOISES:
        inverse = 1 / (np.maximum(values, 0) + noise)
        left_out = (vectors @ (vectors.T @ targets * inverse[:, None])) / ((vectors**2) @ inverse)[:, None]
        errors.append((left_out**2).mean(axis=0))
    best: Array = np.array(NOISES)[np.argmin(errors, axis=0)]
    return best


def evaluate(predictor: Predictor, features: Array, quality: Array) -> Figures:
    """Figures of a predictor on measured prompts (N, F), (N, L) it was not fitted on."""
    error = predictor.predict(features).mean - quality
    plain = predictor.means - quality
    by_level = 1 - (error**2).mean(axis=0) / np.maximum((plain**2).mean(axis=0), 1e-12)
    return Figures(
        rows=len(predictor.features),
        held_out=len(features),
        mae=float(np.abs(error).mean()),
        mae_of_means=float(np.abs(plain).mean()),
        skill=float(1 - (error**2).mean() / max((plain**2).mean(), 1e-12)),
        by_level={level: float(skill) for level, skill in zip(predictor.levels, by_level, strict=True)},
    )


def better(new: Predictor, old: Predictor | None, features: Array, quality: Array) -> bool:
    """Whether `new` has the lower error on prompts that neither was fitted on.

    Args:
        quality: measured, by prompt and level (N, L); not a number where it was not.
    """
    return old is None or old.levels != new.levels or _mse(new, features, quality) < _mse(old, features, quality)


def _mse(predictor: Predictor, features: Array, quality: Array) -> float:
    return float(np.nanmean((predictor.predict(features).mean - quality) ** 2))
