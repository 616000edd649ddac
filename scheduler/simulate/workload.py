"""The requests of a simulated run: arrivals from a trace, each with a prompt and its true and predicted qualities."""

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
    """N requests over P prompts and L levels. Qualities are relative to the reference level.

    Where requests are unequal, `lengths` are what they take by level, relative to a usual one, and `target_s` the time
    in which each is wanted.
    """

    times: np.ndarray  # (N,) seconds of arrival, sorted
    rows: np.ndarray  # (N,) which prompt
    truth: np.ndarray  # (P, L) true quality
    predicted: np.ndarray  # (P, L) what the policy is told
    prompts: tuple[str, ...]  # P
    similarity: np.ndarray  # (N,) cosine to the nearest cached prompt
    batch: np.ndarray  # (N,) whether it is of the batch class
    duration_s: float
    lengths: np.ndarray | None = None  # (N, L)
    target_s: np.ndarray | None = None  # (N,) seconds; None: the run's target
    tenants: tuple[str, ...] = ()  # N; empty: all are of one
    floors: np.ndarray | None = None  # (N,) the least quality each takes; None: the run's floor
    paces: np.ndarray | None = None  # (N,) how long each takes, relative to its profile; NaN or None: by the spread

    def lengths_of(self, i: int) -> tuple[float, ...]:
        """Of one request, as policies are told; empty for a usual one."""
        return () if self.lengths is None else tuple(self.lengths[i].tolist())


def synthetic_quality(profile: Profile, seed: int, prompts: int = DEFAULT_SPREAD) -> QualityTable:
    """A quality table for a profile that has none.

    A prompt's loss at every level is the profile's mean loss times a factor drawn from an exponential distribution of
    mean 1; the means over the prompts are the profile's exactly.
    """
    factor = np.random.default_rng(seed).exponential(size=prompts)
    loss = np.array([1 - level.quality for level in profile.levels])
    values = np.maximum(0.0, 1 - factor[:, None] / factor.mean() * loss[None, :])
    return QualityTable(profile.ids, tuple(f"prompt {i}" for i in range(prompts)), values)


def blurred(table: QualityTable, noise: float, seed: int) -> np.ndarray:
    """Predicted qualities (P×L) where there is no predictor: true losses times log-normal errors of median 1.

    The logarithm of an error is the sum of a normal draw for the prompt (deviation `noise`) and one for each of its
    levels (half of that). The reference level has no loss, and so no error.
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
