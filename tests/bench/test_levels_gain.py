"""What all levels gain above capacity: what levels cost that no profile has, and what is made of the runs."""

from __future__ import annotations

import pytest

from bench.levels_gain import BASE, derived_from, gain, step_share
from bench.levels_page import gain_part, reached
from core.families import load_family
from core.measured import SHIPPED
from core.profiles import read_profile


def test_a_level_that_no_profile_has_costs_the_steps_of_its_model() -> None:
    profile, family = read_profile(SHIPPED / "embedded" / "cpu.json"), load_family("embedded")
    one, four = profile.level("fs-turbo-1"), derived_from(profile, family.level("fs-turbo-4"))
    assert four.latency_s - one.latency_s == pytest.approx(3 * one.curve.step_s(1))
    assert (four.id, four.steps, four.holds) == ("fs-turbo-4", 4, "turbo")
    exact, reused = profile.level("exact"), derived_from(profile, family.level("cq-3"))
    around = exact.encode_s + exact.decode_s
    assert reused.latency_s - around == pytest.approx(step_share() * (exact.latency_s - around), rel=1e-6)
    assert exact.requests_per_minute < reused.requests_per_minute < exact.requests_per_minute / step_share()


def runs(*lost: float) -> list[dict]:
    figures = {"quality_mean": 0.99, "violation_rate": 0.0, "levels": {"exact": 0.25, "cq-3": 0.75}}
    return [{"quality_lost": one, **figures} for one in lost]


def test_a_plan_that_loses_half_under_each_seed_loses_half_whatever_the_seeds() -> None:
    found = gain({BASE: runs(0.02, 0.04, 0.08), "all": runs(0.01, 0.02, 0.04)}, "all")
    assert (found["less"], *found["less_interval"]) == pytest.approx((0.5, 0.5, 0.5))
    assert found["levels"] == {"exact": 0.25, "cq-3": 0.75}
    assert (reached(found), reached({**found, "less_interval": (0.2, 0.6)})) == ("reached", "not shown")
    assert reached({"less": 0.1, "less_interval": (0.0, 0.2)}) == "not reached"


def test_the_page_says_what_every_plan_loses_and_what_was_not_measured() -> None:
    plans = {BASE: runs(0.02, 0.04), "as auto has them": runs(0.02, 0.03), "all": runs(0.01, 0.02)}
    about = {"workers": 4, "load": 1.3, "seconds": 9.0, "slo_s": 2.0, "seeds": 2, "prompts": 3, "profile": "then"}
    run = {"command": "python -m bench.levels_gain", "measured": "now"}
    found = {
        **about,
        "run": run,
        "derived": ["cq-3"],
        "step_share": 0.4,
        "plans": [gain(plans, name) for name in plans],
    }
    text = "\n".join(gain_part(found))
    assert "| all | 1.50 (1.00 to 2.00) | 50 (50 to 50) | 0.00 | `exact` 25%, `cq-3` 75% |" in text
    assert "What `cq-3` costs is not in that profile" in text
    assert "The goal, 30 % less, is reached." in text
