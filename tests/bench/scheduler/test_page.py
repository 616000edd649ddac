"""The page of the scheduler's benchmark."""

from __future__ import annotations

from bench.scheduler.page import PARTS, VERSION_3, page
from bench.scheduler.tables import AGAIN


def test_a_page_has_the_sections_whose_figures_are_kept_with_their_day() -> None:
    about = {"machine": "m", "capacity": 228.6, "slo_s": 12.6, "prompts": "p", "seed": 1}
    made = page({"about": about, "days": {"steady": "2026-11-26"}, "commits": {"steady": "5464df0"}, "steady": []})
    assert [line for line in made.splitlines() if line.startswith("## ")] == [f"## {PARTS['steady'].title}"]
    assert "(2026-11-26, at 5464df0)" in made
    assert AGAIN in made  # of before there were intervals


def test_a_page_says_what_was_not_run_yet() -> None:
    about = {"machine": "m", "capacity": 228.6, "slo_s": 12.6, "prompts": "p", "seed": 1}
    made = page({"about": about, "days": {"steady": "2026-11-26"}, "steady": []})
    (left_out,) = [line for line in made.splitlines() if line.startswith("Not run yet")]
    assert PARTS["gentd"].title in left_out
    assert PARTS["steady"].title not in left_out


def test_a_page_says_which_parts_ran_on_qualities_that_are_gone() -> None:
    about = {"machine": "m", "capacity": 228.6, "slo_s": 12.6, "prompts": "p", "seed": 1}
    kept = {"about": about, "days": {"twitter": "2026-11-26"}, "twitter": {}}
    assert f"*{PARTS['twitter'].title}*" in page(kept).split("of version 4")[0]
    assert "of version 4" not in page({**kept, "commits": dict.fromkeys(VERSION_3, "5464df0")})


def test_a_page_says_which_parts_ran_with_the_forecast_before() -> None:
    about = {"machine": "m", "capacity": 228.6, "slo_s": 12.6, "prompts": "p", "seed": 1}
    kept = {"about": about, "days": {"steady": "2026-11-26"}, "commits": {"steady": "5464df0"}, "steady": []}
    said = f"With the forecast as it was before: *{PARTS['steady'].title}*."
    assert said in page(kept)
    assert said not in page({**kept, "commits": {"steady": "fcf23ca"}})
