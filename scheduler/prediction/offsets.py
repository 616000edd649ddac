"""What audits say of each level on average, added to what is predicted of it.

A drift (`drift.py`) is large, is looked for in sequence, and trains the predictor again. A bias of a point is neither
found so nor worth that, but shows in the mean of any few hundred requests: of prompts worded otherwise than those that
were measured, or of a level that is known by its mean alone. So each level's mean gap is added to its predictions,
shrunk towards none while audits are few: the posterior mean under a normal prior (Gelman et al., Bayesian Data
Analysis, 2013, §2.5), gap · n / (n + noise² / PRIOR²).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from core.profiles import QualityTable
from scheduler.prediction.audit import Audited
from scheduler.prediction.features import Features
from scheduler.prediction.gaussian_process import Array, Predictor

PRIOR = 0.005  # standard deviation of a level's bias, in relative quality: a wider one lets few audits add as much
ODD = 0.5  # of one audit, at most: a reference that scored next to nothing makes any ratio
LEAST_NOISE = 0.01


def offsets(levels: Sequence[str], gaps: Array) -> dict[str, float]:
    """What to add to the predictions of each level.

    Args:
        levels: of N audits.
        gaps: measured less predicted relative quality (N,).
    """
    names, gaps = np.array(levels), np.clip(gaps, -ODD, ODD)
    return {level: offset(gaps[names == level]) for level in dict.fromkeys(levels)}


def offset(gaps: Array) -> float:
    """The expected bias, given these gaps (n,) of one level."""
    noise = max(LEAST_NOISE, float(gaps.std(ddof=1))) if len(gaps) > 1 else 1.0
    return float(gaps.sum() / (len(gaps) + (noise / PRIOR) ** 2))


def expected(audits: Sequence[Audited], predictor: Predictor, means: Mapping[str, float], features: Features) -> Array:
    """What is said of the audits' prompts at their levels (N,), without offsets; NaN where nothing is known."""
    if not audits:
        return np.zeros(0)
    said = predictor.expect(features([audit.prompt for audit in audits]))
    known = {level: column for column, level in enumerate(predictor.levels)}
    return np.array(
        [
            said[row, known[audit.level]] if audit.level in known else means.get(audit.level, np.nan)
            for row, audit in enumerate(audits)
        ]
    )


def offsets_of(
    audits: Sequence[Audited], predictor: Predictor, table: QualityTable | None, features: Features
) -> dict[str, float]:
    """The offsets that these audits ask for, of levels that the predictor or the table knows."""
    gaps = np.array([audit.measured for audit in audits]) - expected(
        audits, predictor, table.means if table else {}, features
    )
    known = np.flatnonzero(np.isfinite(gaps)).tolist()
    return offsets([audits[i].level for i in known], gaps[known])
