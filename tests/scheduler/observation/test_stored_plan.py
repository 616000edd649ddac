"""Plans of the version before, of this one and of a newer one, read from their rows."""

from __future__ import annotations

import json
from typing import Any

from scheduler.observation.stored_plan import corrections_of, epoch_of
from scheduler.planning.instance import Plan
from scheduler.policies import PLAN_FORMAT, Epoch


def stored(**parts: Any) -> dict[str, Any]:
    """A plan as its row has it, with these parts changed."""
    served = {"auto": {"exact": 10.0}}
    plan = Plan("optimal", 0.0, 0.0, 0.0, {"cpu": {"large": 1}}, served, {}, {}, 0.1)
    return {**json.loads(json.dumps(Epoch(7, 1.0, plan, 0.2).to_json())), **parts}


def test_what_this_version_writes_it_reads() -> None:
    epoch = epoch_of(7, stored())
    assert epoch is not None
    assert epoch.plan.served == {"auto": {"exact": 10.0}}


def test_fields_of_a_newer_version_are_passed_over() -> None:
    epoch = epoch_of(7, stored(mood="calm"))
    assert epoch is not None
    assert epoch == epoch_of(7, stored())
    corrections = corrections_of({"corrections": {"cpu": {"fetch_s": 0.5, "mood": "calm"}}})
    assert corrections["cpu"].fetch_s == 0.5


def test_a_plan_of_the_version_before_says_no_format() -> None:
    data = stored()
    del data["plan"]["format"]
    assert epoch_of(7, data) == epoch_of(7, stored())


def test_a_plan_in_a_newer_format_counts_as_none() -> None:
    data = stored()
    data["plan"]["format"] = PLAN_FORMAT + 1
    assert epoch_of(7, data) is None


def test_the_version_before_finds_no_field_that_it_does_not_know() -> None:
    """It hands all fields of `decided` to `Epoch`, and those of the plan that it knows to `Plan`."""
    data = stored()
    Epoch(**{**data, "plan": Plan.from_json(data["plan"])})
