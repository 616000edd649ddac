"""Every policy with and without letting go, side by side."""

from __future__ import annotations

import pytest

from bench.scheduler.models import show_models
from bench.scheduler.shapes import under_goals
from bench.scheduler.tables import show_both

FIGURES = {
    "requests": 10, "violation_rate": 0.1, "quality_in_time": 0.97, "quality_mean": 0.98, "goodput_per_minute": 9.0,
    "burst_per_minute": 8.0, "latency_p50_s": 1.0, "latency_p99_s": 2.0,
}  # fmt: skip


def test_both_columns_of_lateness_and_of_quality_are_shown() -> None:
    queueing = {**FIGURES, "violation_rate": 0.5, "quality_in_time": 0.91, "quality_mean": 0.99}
    shown = show_both({"policies": {"pac": FIGURES}, "queueing": {"pac": queueing}})
    header, _, row = shown.splitlines()
    assert header.count("all queue") == 3
    assert row.startswith("| `pac` | 10.00 | 50.00 | 97.00 | 91.00 | 98.00 | 99.00 |")


def test_figures_kept_from_before_are_shown_as_they_were() -> None:
    old = {key: value for key, value in FIGURES.items() if key != "quality_in_time"}
    assert "violations %" in show_both({"policies": {"pac": old}})


def over_seeds(late: float, quality: float = 0.98) -> dict[str, object]:
    """Two seeds of a policy."""
    by_seed = {key: [value, value] for key, value in FIGURES.items()}
    by_seed |= {"violation_rate": [late, late], "quality_mean": [quality, quality], "lost_in_time": [0.02, 0.02]}
    return {**FIGURES, "lost_in_time": 0.02, "by_seed": {**by_seed, "in_time": [9, 9], "burst_minutes": [1, 1]}}


def test_a_policy_that_ran_over_one_seed_is_no_rival_of_those_that_ran_over_all() -> None:
    names = ("clipper-ha", "clipper-ht", "nirvana", "sommelier", "pac", "argus")
    policies = {name: over_seeds(0.04) for name in names} | {"sommelier": {**FIGURES, "violation_rate": 0.0}}
    goals = dict(row[:2] for row in under_goals(policies, 0.25, {"argus": over_seeds(0.04)}))
    assert goals["never more than any policy"].startswith("fewest of others 4.000")


@pytest.mark.parametrize(("late", "verdict"), [(0.01, "reached"), (0.03, "**not reached**")])
def test_the_embedded_family_is_judged_at_120_percent(late: float, verdict: str) -> None:
    runs = {"argus": over_seeds(late, 0.99), "pac": over_seeds(0.05), "clipper-ha": over_seeds(0.5)}
    shown = show_models({"seeds": [1, 2], "0.6": {"policies": runs}, "1.2": {"policies": runs}}).splitlines()
    (row,) = [line for line in shown if line.startswith("| at 120 %: late")]
    assert row.endswith(f"| {verdict} |")
