"""Measured prompts that a predictor has not seen: what it says of them, and what one image of each really kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench.scheduler.prompts import TRAINING, features_of
from core.profiles import read_quality
from scheduler.prediction.gaussian_process import Predictor
from scheduler.prediction.training import HELD_OUT, fitted

REFERENCE = "exact"


@dataclass(frozen=True)
class HeldOut:
    """Relative qualities of P prompts at L levels: `mean` and `std` as predicted, `measured` of one image each; all
    (P, L). The reference level, which keeps all of itself, is left out."""

    predictor: Predictor
    features: np.ndarray
    levels: tuple[str, ...]
    mean: np.ndarray
    std: np.ndarray
    measured: np.ndarray


@lru_cache(maxsize=2)
def held_out(seed: int, features: Callable[[tuple[str, ...]], np.ndarray] = features_of) -> HeldOut:
    """A fifth of the training table, by a predictor that was fitted to the other prompts (features as given)."""
    table = read_quality(TRAINING)
    order = np.random.default_rng(seed).permutation(len(table))
    held, rest = np.split(order, [int(len(order) * HELD_OUT)])
    known = features(table.prompts)
    return judged(fitted(table, known, rest), known[held], table.values[held])


def judged(predictor: Predictor, features: np.ndarray, measured: np.ndarray) -> HeldOut:
    """What this predictor says of prompts with these features, beside what was measured (P, all its levels)."""
    levels = tuple(level for level in predictor.levels if level != REFERENCE)
    columns = [predictor.levels.index(level) for level in levels]
    said = predictor.predict(features)
    return HeldOut(predictor, features, levels, said.mean[:, columns], said.std[:, columns], measured[:, columns])
