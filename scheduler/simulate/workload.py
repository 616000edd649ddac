"""Who asks for what, when: arrivals from a trace, a prompt for each with its true and its predicted qualities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.errors import BadProfile
from core.profiles import Profile, QualityTable
from traces.reader import Trace

Bands = tuple[
    tuple[float, float], ...
]  # cosine to the nearest cached prompt, at least; share of requests from there on
# NIRVANA's bands; with these shares, skipping by its table saves the 21 % of GPU time that it reports
SIMILARITY: Bands = ((0.0, 0.22), (0.65, 0.13), (0.75, 0.25), (0.85, 0.20), (0.90, 0.12), (0.95, 0.08))
DEFAULT_SPREAD = 500  # synthetic prompts, where there is no quality table


@dataclass(frozen=True)
class Workload:
    """N requests: arrival seconds (sorted), prompt row, and by prompt row the true and predicted qualities (P×L).

    `similarity` and `batch` are per request; `prompts` names the rows.
    """

    times: np.ndarray
    rows: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    prompts: tuple[str, ...]
    similarity: np.ndarray
    batch: np.ndarray
    duration_s: float


def synthetic_quality(profile: Profile, seed: int, prompts: int = DEFAULT_SPREAD) -> QualityTable:
    """Prompts whose loss at every level is the profile's mean loss times a tolerance spread exponentially (mean 1).

    For a profile without a quality table. The drawn means are the profile's exactly.
    """
    tolerance = np.random.default_rng(seed).exponential(size=prompts)
    loss = np.array([1 - level.quality for level in profile.levels])
    values = np.maximum(0.0, 1 - tolerance[:, None] / tolerance.mean() * loss[None, :])
    return QualityTable(profile.ids, tuple(f"prompt {i}" for i in range(prompts)), values)


def blurred(table: QualityTable, noise: float, seed: int) -> np.ndarray:
    """Predicted qualities (P×L) where there is no predictor: true losses times log-normal errors of median 1.

    The logarithm of an error has a draw of deviation `noise` for the prompt and one of half that for each level. That
    `exact` is 1 is known.
    """
    rng = np.random.default_rng([seed, 1])
    loss = 1 - table.values
    error = rng.normal(0, noise, (len(loss), 1)) + rng.normal(0, noise / 2, loss.shape)
    predicted: np.ndarray = np.clip(1 - loss * np.exp(error), 0.0, None)
    return predicted


def workload(
    trace: Trace,
    table: QualityTable,
    levels: tuple[str, ...],
    seed: int,
    noise: float = 0.0,
    predicted: QualityTable | None = None,
    batch_share: float = 0.0,
    similarity: Bands = SIMILARITY,
) -> Workload:
    """The requests of a run. Prompts are drawn from the quality table, how near the latent cache has another from the
    bands of `similarity`; `batch_share` of them are batch class.

    `predicted` holds a predictor's answers for the same prompts; without it the truth is blurred by `noise`.
    """
    if predicted is not None and predicted.prompts != table.prompts:
        raise BadProfile("the predicted qualities are not of the same prompts as the quality table", field="predicted")
    table = table.select(levels)
    rng = np.random.default_rng([seed, 2])
    times = trace.arrivals(seed)
    n = len(times)
    floors, shares = zip(*similarity, strict=True)
    bands = rng.choice(len(floors), n, p=shares)
    ceilings = np.array([*floors[1:], 1.0])
    return Workload(
        times=times,
        rows=rng.integers(len(table), size=n),
        truth=table.values,
        predicted=predicted.select(levels).values if predicted is not None else blurred(table, noise, seed),
        prompts=table.prompts,
        similarity=np.array(floors)[bands] + rng.random(n) * (ceilings - np.array(floors))[bands],
        batch=rng.random(n) < batch_share,
        duration_s=trace.duration_s,
    )
