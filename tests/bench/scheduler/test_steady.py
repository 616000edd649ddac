"""The section on steady load."""

from __future__ import annotations

from typing import Any

import pytest

from bench.scheduler.steady import show_steady, way


def row(lost: float, **more: list[float]) -> dict[str, list[float]]:
    """Two seeds: `pac` loses 8 and 9 points, the bound 3 and 4, Argus `lost` more than the bound."""
    found: dict[str, list[float]] = {"curve": [0.07, 0.07], "oracle_lost": [0.04, 0.05], "oracle_late": [0.0, 0.0]}
    for name in ("told", "true", "means"):
        found |= {
            f"{name}_pac": [0.08, 0.09],
            f"{name}_bound": [0.03, 0.04],
            f"{name}_lost": [0.03 + lost, 0.04 + lost],
        }
        found |= {f"{name}_late": [0.0, 0.001], f"{name}_pac_late": [0.0, 0.0]}
    return {**found, **more}


def test_the_way_is_the_share_of_the_distance_from_pac_to_the_bound() -> None:
    assert way(row(0.01), "true")[0] == pytest.approx(0.8)
    assert way(row(0.0), "told") == pytest.approx(1.0)


def test_a_page_says_what_was_not_reached_and_what_was_not_shown() -> None:
    data: dict[str, Any] = {"seeds": [1, 2], "loads": {"0.9": row(0.01), "0.98": row(0.05)}}
    page = show_steady(data)
    assert "Seeds run: 2." in page
    assert "80 (80 to 80) % at least" in page  # loads above 95 % are not judged
    assert page.count("**not reached**") == 1
    unsure = {"seeds": [1, 2], "loads": {"0.9": row(0.0, true_lost=[0.030, 0.05])}}
    assert show_steady(unsure).count("**not shown**") == 1
