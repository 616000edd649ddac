"""The section on steady load."""

from __future__ import annotations

from bench.scheduler.steady import show_steady


def test_a_page_says_what_was_not_reached() -> None:
    row = {"load": 0.9, "pac": 0.92, "bound": 0.03, "true": 0.95, "told": 0.93, "oracle": 0.96}
    row |= {f"{name}_violations": 0.0 for name in ("true", "told", "oracle")}
    page = show_steady([row])
    assert page.count("**not reached**") == 2
    assert "75 % at least" in page
