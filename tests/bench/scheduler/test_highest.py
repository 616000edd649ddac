"""Up to which peak a policy is in time and good enough."""

from __future__ import annotations

from typing import Any

import pytest

from bench.scheduler.highest import reached, show_highest


def row(late: float, quality: float) -> dict[str, Any]:
    """Two seeds alike."""
    by_seed = {
        "requests": [100, 100],
        "in_time": [90, 90],
        "violation_rate": [late] * 2,
        "quality_in_time": [quality] * 2,
    }
    return {"violation_rate": late, "quality_in_time": quality, "by_seed": by_seed}


def test_the_first_of_both_that_is_missed_counts_on_a_straight_line_between_two_peaks() -> None:
    too_late = {"0.9": row(0.0, 0.97), "1": row(0.02, 0.96)}
    too_poor = {"0.9": row(0.0, 0.96), "1": row(0.005, 0.91)}
    assert reached(too_late)[0] == pytest.approx(0.95)
    assert reached(too_poor)[0] == pytest.approx(0.92)


def test_a_policy_that_misses_nothing_or_everything_is_given_the_last_or_first_peak() -> None:
    assert reached({"0.9": row(0.0, 0.97), "1": row(0.01, 0.95)})[0] == 1.0
    assert reached({"0.9": row(0.0, 0.94), "1": row(0.01, 0.97)})[0] == 0.9


def test_the_goal_is_a_ratio_of_peaks() -> None:
    better = {"0.8": row(0.0, 0.97), "1": row(0.0, 0.96)}
    worse = {"0.8": row(0.0, 0.95), "1": row(0.0, 0.90)}
    shown = show_highest({"seeds": [1, 2], "burst_factor": 2.4, "policies": {"pac": worse, "argus": better}})
    assert "1.25 (1.25 to 1.25)× | reached" in shown
