"""Gangs by the modelled modes that are kept: they form where the load is low, and nothing is worse where it is high."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.gangs_simulated import CASES, FIGURES, WORKERS, profile_of, simulated
from bench.gangs_simulated_page import page
from scheduler.simulate import Report
from traces.reader import Trace

FLUX, SDXL_NAMED = CASES[0], next(case for case in CASES if case.asked == "distrifusion")


def steady(load: float, seconds: float = 300.0) -> tuple[Report, Report]:
    count = load * WORKERS * profile_of(FLUX.family).reference.requests_per_minute * seconds / 60
    trace = Trace("steady", seconds, np.zeros(1), np.full(1, seconds), np.full(1, count))
    return simulated(FLUX.family, trace, 1), simulated(FLUX.family, trace, 1, FLUX)


def test_at_a_low_load_latency_falls_and_goodput_does_not():
    alone, together = steady(0.1)
    assert together.gangs["share"] > 0.5
    assert together.figures["latency_p95_s"] <= 0.7 * alone.figures["latency_p95_s"]
    assert together.figures["goodput_per_minute"] >= alone.figures["goodput_per_minute"]


def test_at_a_high_load_no_gang_forms_and_nothing_changes():
    alone, together = steady(0.95)
    assert together.gangs["share"] < 0.02  # of the first seconds, when nobody knows the load yet
    for name in ("violation_rate", "latency_p95_s"):
        assert together.figures[name] == pytest.approx(alone.figures[name], rel=0.02, abs=0.002)


def test_another_time_to_meet_takes_the_place_of_the_usual_one():
    other = next(case for case in CASES if (case.asked, case.meet_s) == ("distrifusion", 0.1))
    pairs = [(a, b) for a, b in zip(SDXL_NAMED.modes(), other.modes(), strict=True) if a.ranks > 1]
    assert min(b.meet_s for _, b in pairs) == pytest.approx(0.1)
    assert {round(a.meet_s - b.meet_s, 9) for a, b in pairs} == {0.4}  # the warm-up stays in it


def test_the_page_says_that_it_is_simulated_and_which_goals_are_reached():
    def load(p95: float, goodput: float) -> dict[str, Any]:
        figures = {"requests": [10, 10], **{name: [1.0, 1.1] for name in FIGURES}}
        gangs = {"requests": 5, "modes": {"ulysses, 8 ranks": 5}}
        together = {**figures, "latency_p95_s": [p95, p95], "goodput_per_minute": [goodput, goodput]}
        return {"shape": "calm", "load": 0.2, "gangs": [gangs, gangs], "alone": figures, "together": together}

    about = {
        "family": "random-flux",
        "link": "NVLink",
        "asked": "auto",
        "meet_s": 0.5,
        "most_wait": 0.1,
        "alone_s": 3.7,
    }
    cases = [{**about, "loads": [load(0.5, 1.1)]}, {**about, "loads": [load(0.9, 0.5)]}]
    run = {"command": "python -m bench.gangs_simulated", "measured": "now", "seeds": 2, "workers": 8, "slo_factor": 3}
    good, bad = page({"run": run, "cases": cases}).split("## ")[1:]
    assert "| calm, 20% | 50% | 8 ranks 10 |" in good
    assert good.count("reached") == 2
    assert good.count("not reached") == 0
    assert bad.count("**not reached**") == 2
    assert "**Simulated, by a modelled profile of modes**" in page({"run": run, "cases": []})
