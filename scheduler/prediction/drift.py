"""When the qualities measured at a level have left what is predicted of it.

Audits say of a prompt and a level what it really kept. Each level is judged by its own audits, against what the
predictor in force says of them now: gaps of opposite sign at two levels do not cancel, and a predictor that was swapped
in is not blamed for what its predecessor said.

The test is a two-sided cumulative sum (Page 1954, Biometrika 41: of all tests with as few false alarms it finds a shift
soonest): s ← max(0, s + gap − SHIFT/2), an alarm above a threshold h. The threshold follows from the noise of the
audits and from the audits that there are to be between two false alarms (Siegmund 1985, §2.6):

    alarms every (exp(2Δb) − 1 − 2Δb) / 2Δ² audits,    Δ = SHIFT / 2 / noise,    b = h / noise + 1.166

What came since the sum was last zero is what the shift is estimated from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scheduler.prediction.gaussian_process import Array

SHIFT = 0.1  # of relative quality, that is to be found
BETWEEN_ALARMS = 1e6  # audits of a level, on average, where nothing has shifted
LEAST_ALARM = 5 * SHIFT / 2  # not one odd audit, however little noise the others have
ENOUGH = 25  # audits since it began: fewer say too little of how far it went
OVERSHOOT = 1.166


def drifts(levels: Sequence[str], gaps: Array) -> dict[str, float]:
    """Mean gap, since it began, of each level that has drifted.

    Args:
        levels: of N audits, oldest first.
        gaps: measured less predicted relative quality (N,).
    """
    names = np.array(levels)
    mine = {level: gaps[names == level] for level in dict.fromkeys(levels)}
    steps = np.concatenate([np.diff(some) for some in mine.values()]) if mine else np.zeros(0)
    noise = noise_of(steps)  # of all levels: those of one may be too few to tell
    found = {level: drift(some, max(noise, noise_of(np.diff(some)))) for level, some in mine.items()}
    return {level: gap for level, gap in found.items() if gap is not None}


def drift(gaps: Array, noise: float) -> float | None:
    """Mean gap of one level since it drifted; None where it has not. `gaps` oldest first (n,)."""
    if len(gaps) < ENOUGH:
        return None
    most = threshold(noise)
    for sign in (1, -1):
        total, since = 0.0, 0
        for i, gap in enumerate(sign * gaps):
            total += gap - SHIFT / 2
            if total <= 0:
                total, since = 0.0, i + 1
        if total > most and len(gaps) - since >= ENOUGH:
            return float(gaps[since:].mean())
    return None


def noise_of(steps: Array) -> float:
    """Standard deviation of one audit, from the differences of neighbours: a shift hardly shows in them."""
    return math.sqrt(max(1e-8, float(np.mean(steps**2)) / 2)) if len(steps) else 0.0


def threshold(noise: float) -> float:
    """The sum above which a level has drifted."""
    slope = SHIFT / noise  # 2Δ
    b = 1.0
    for _ in range(30):
        b = math.log(BETWEEN_ALARMS * slope**2 / 2 + 1 + slope * b) / slope
    return max(LEAST_ALARM, noise * (b - OVERSHOOT))
