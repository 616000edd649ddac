"""The page of the scheduler's benchmark."""

from __future__ import annotations

from bench.scheduler.page import PARTS, page


def test_a_page_has_the_sections_whose_figures_are_kept_with_their_day() -> None:
    row = {"load": 0.9, "pac": 0.92, "bound": 0.03, "true": 0.95, "told": 0.93, "oracle": 0.96}
    row |= {f"{name}_violations": 0.0 for name in ("true", "told", "oracle")}
    about = {"machine": "m", "capacity": 228.6, "slo_s": 12.6, "prompts": "p", "seed": 1}
    made = page({"about": about, "days": {"steady": "2026-11-26"}, "steady": [row]})
    assert [line for line in made.splitlines() if line.startswith("## ")] == [f"## {PARTS['steady'].title}"]
    assert "(2026-11-26)" in made
