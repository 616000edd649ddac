"""The best that a predictor can know: what each prompt scores on average over seeds."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from bench.scheduler.prompts import EMBEDDED, rescaled
from bench.scheduler.setup import NOISE, Setup
from core.profiles import QualityTable, read_quality
from scheduler.simulate import Workload, workload
from traces.reader import Trace

SEEDS = EMBEDDED.with_name("quality-seeds.npz")  # every score behind the table: by level, prompts × seeds
DRAWS = 50


def seed_noise(table: QualityTable) -> np.ndarray:
    """Standard error of each cell (P×L): how the levels' scores scatter over seeds around their share of exact's."""
    errors = np.zeros_like(table.values)
    with np.load(SEEDS) as scores:
        exact = scores["exact"].astype(float)
        for i, level in enumerate(table.levels):
            rest = scores[level].astype(float) - table.values[:, i : i + 1] * exact
            errors[:, i] = rest.std(axis=1, ddof=1) / np.sqrt(exact.shape[1]) / exact.mean(axis=1)
    return errors


def perfect_work(setup: Setup, trace: Trace, seed: int) -> Workload | None:
    """Requests told what each prompt scores on average, where the truth has the table's noise on top.

    The table stands for those averages, though it is more spread than they are: no predictor does better. None without
    the scores behind the table.
    """
    if not (setup.from_table and SEEDS.exists()):
        return None
    true, expected = _tables(setup)
    return workload(trace, true, setup.profile.ids, seed, NOISE, expected)


@lru_cache(maxsize=1)
def _tables(setup: Setup) -> tuple[QualityTable, QualityTable]:
    """One draw of the table with its noise, and the mean of the others."""
    table, rng = read_quality(EMBEDDED), np.random.default_rng([setup.seed, 3])
    noise = seed_noise(table)
    drawn = [
        rescaled(replace(table, values=table.values + rng.normal(size=noise.shape) * noise), setup.profile)
        for _ in range(DRAWS)
    ]
    return drawn[0], replace(drawn[0], values=np.mean([each.values for each in drawn[1:]], axis=0))
