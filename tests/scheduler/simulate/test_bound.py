"""The bound below any schedule."""

from __future__ import annotations

import numpy as np
import pytest

from scheduler.simulate.bound import bound, fewest_late
from tests.scheduler.policies.small_cluster import SLO
from tests.scheduler.simulate.small_runs import SECONDS, run, steady


def test_no_policy_loses_less_than_the_bound() -> None:
    work = steady(0.85, 150.0, noise=0.0)
    least = bound(work.times, work.truth[work.rows], SECONDS, 8, SLO)
    oracle, argus = run("oracle", work).figures, run("argus", work).figures
    assert least.late == 0
    assert least.quality_lost < oracle["quality_lost"]
    assert least.quality_lost < argus["quality_lost"]


def test_the_bound_is_exact_where_it_is_plain() -> None:
    # two requests at once on one worker, slo 6: 4 + 2 or 3 + 3 or 2 + 4; the dearer prompt gets the better level
    quality = np.array([[1.0, 0.9, 0.8], [1.0, 0.6, 0.4]])
    found = bound(np.zeros(2), quality, np.array([4.0, 3.0, 2.0]), 1, 6.0)
    assert (found.late, found.quality_lost) == (0, pytest.approx(0.1))
    assert fewest_late(np.zeros(5), 1, 2.0, 6.0) == 2


def test_a_schedule_that_is_late_more_often_may_lose_less() -> None:
    quality, seconds = np.array([[1.0, 0.9, 0.8], [1.0, 0.6, 0.4]]), np.array([4.0, 3.0, 2.0])
    fewest, one, both = (bound(np.zeros(2), quality, seconds, 1, 6.0, late) for late in (0, 1, 2))
    assert (one.late, one.quality_lost) == (1, pytest.approx(0.0))  # one alone is exact
    assert fewest.quality_lost > one.quality_lost
    assert both.late == 2


def test_no_run_loses_less_in_time_than_the_bound_that_is_late_as_often() -> None:
    work = steady(1.3, 120.0)
    for name in ("argus", "pac", "oracle", "clipper-ha"):
        figures = run(name, work).figures
        least = bound(work.times, work.truth[work.rows], SECONDS, 8, SLO, figures["violations"])
        assert least.late == figures["violations"]
        assert least.quality_lost <= figures["lost_in_time"] + 1e-9
