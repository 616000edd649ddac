"""Every policy with and without letting go, side by side."""

from __future__ import annotations

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
