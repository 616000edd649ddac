"""Drift is judged a level: found soon, never where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from scheduler.prediction.drift import ENOUGH, drifts

# Standard deviation of one audit, of the embedded family's quality-seeds.npz
NOISE = {"ac-3": 0.026, "fs-turbo-1": 0.036, "sm-medium-1": 0.067, "sm-turbo-half": 0.067, "sm-medium-half": 0.107}
LEVELS = tuple(NOISE)
A_WEEK = 7 * 200  # audits of a cluster that draws 20,000 requests a day
LOOKED_AT = 200  # of a day


def stream(seed: int, shift: Mapping[str, float], after: int = 0) -> Iterator[tuple[list[str], np.ndarray]]:
    """Levels and gaps, oldest first, as they stand after each audit; the levels take turns."""
    rng = np.random.default_rng(seed)
    levels = [LEVELS[i % len(LEVELS)] for i in range(A_WEEK)]
    gaps = rng.normal(0.0, [NOISE[level] for level in levels])
    gaps += [shift.get(level, 0.0) if i >= after else 0.0 for i, level in enumerate(levels)]
    for n in range(1, A_WEEK + 1):
        yield levels[:n], gaps[:n]


@pytest.mark.parametrize("seed", range(10))
def test_a_week_without_a_shift_is_a_week_without_drift(seed: int) -> None:
    assert not any(drifts(levels[-LOOKED_AT:], gaps[-LOOKED_AT:]) for levels, gaps in stream(seed, {}))


@pytest.mark.parametrize("seed", range(10))
def test_a_shift_of_one_level_by_a_tenth_is_found_within_200_audits_and_corrected_once(seed: int) -> None:
    shifted, since, corrected, found = 400, 0, 0.0, []
    for levels, gaps in stream(seed, {"sm-medium-1": -0.1}, shifted):
        start, n = max(since, len(levels) - LOOKED_AT), len(levels)  # of the day, since the predictor in force is
        now = gaps[start:] - corrected * (np.array(levels[start:]) == "sm-medium-1")
        if drift := drifts(levels[start:], now):
            found.append((n - shifted, drift))
            corrected, since = corrected + drift["sm-medium-1"], n
    assert len(found) == 1
    assert list(found[0][1]) == ["sm-medium-1"]
    assert 0 < found[0][0] < 200
    assert corrected == pytest.approx(-0.1, abs=0.05)


def test_opposite_drifts_of_two_levels_do_not_cancel() -> None:
    found = drifts(["ac-3", "fs-turbo-1"] * ENOUGH, np.array([0.1, -0.1] * ENOUGH))
    assert found == {"ac-3": pytest.approx(0.1), "fs-turbo-1": pytest.approx(-0.1)}


def test_too_few_audits_tell_nothing() -> None:
    assert drifts(["ac-3"] * (ENOUGH - 1), np.full(ENOUGH - 1, -0.5)) == {}


def test_one_odd_audit_is_no_drift() -> None:
    assert drifts(["ac-3"] * 40, np.array([0.0] * 39 + [-0.2])) == {}
