"""The setting of the Argus paper's bursty run, and how it is shown."""

from __future__ import annotations

import pytest

from bench.scheduler.published import BATCHING, PEAK, REPORTED, at_peak, batched, diffserve, show_published
from scheduler.simulate.report import Report
from tests.scheduler.policies.small_cluster import profile


def test_batches_of_two_carry_what_the_artefact_says_batching_gains() -> None:
    alone, both = profile().level("exact"), batched(profile()).level("exact")
    assert both.rows == 2
    assert both.requests_per_minute == pytest.approx(BATCHING * alone.requests_per_minute)
    assert both.latency_full_s == pytest.approx(2 * alone.latency_s / BATCHING)


def test_the_peak_is_the_minutes_of_nine_tenths_of_it() -> None:
    timeline = {"demand": [100.0, 390.0, 360.0, 200.0], "violations": [50.0, 39.0, 36.0, 100.0]}
    assert at_peak(Report("pac", {}, timeline, 0.0)) == (750.0, pytest.approx(0.1))


def test_diffserve_is_in_time_where_its_authors_ran_it_and_draws_most_images_twice_at_the_start() -> None:
    figures = diffserve(1).figures
    assert figures["violation_rate"] < 0.02
    assert figures["levels"]["exact"] > 0.4


def test_a_rival_that_is_later_than_its_authors_had_it_is_called_so() -> None:
    reported = REPORTED["pac"] / PEAK

    def row(late: float) -> dict[str, dict[str, list[float]]]:
        return {"by_seed": {"requests": [700.0, 800.0], "late": [late, late], "queueing": [0.3, 0.3]}}

    own = {"by_seed": {"requests": [10, 10], "violation_rate": [0.01, 0.01], "exact": [0.5, 0.5]}}
    rows = {"pac": row(2 * reported), "proteus": row(reported)}
    shown = show_published({"seeds": [1, 2], "argus": rows, "diffserve": own})
    assert shown.count("**not reached**") == 1
    assert "2.00 (2.00 to 2.00)×" in shown
