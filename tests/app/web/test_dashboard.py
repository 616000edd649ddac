"""The dashboard: counts by time, the plan in words, what workers held."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from app.records.holdings import holdings
from app.records.timeline import SLOTS, timeline
from app.schemas.plan import PlanOut
from app.web.reasons import why
from core.database import transaction
from core.families import Family
from core.profiles import parse_profile
from core.tables import Assignment, Job, Plan, Request
from tests.app.conftest import draw
from tests.app.web.conftest import PAGE, PROFILE, Submit, add_worker, words


def test_demand_counts_when_it_came_and_images_when_they_were_stored(client: FlaskClient, submit: Submit) -> None:
    early, late = (submit(prompt=prompt)["requests"][0]["id"] for prompt in ("early", "late"))
    for request, level in ((early, "exact"), (late, "ac-5")):
        draw(request, level)
    now = datetime.now(UTC)
    with transaction() as session:
        times = {"accepted_at": now - timedelta(minutes=40), "stored_at": now - timedelta(minutes=20)}
        session.execute(update(Request).where(Request.id == uuid.UUID(early)).values(**times, deadline_at=now))
        found = timeline(session, 60)
    assert (sum(found.demand), sum(found.late), len(found.demand)) == (2, 0, SLOTS)
    assert found.demand.index(1) in (19, 20)
    assert found.served["exact"].index(1) in (39, 40)
    assert found.served["ac-5"][-1] == 1
    assert found.quality[-1] == pytest.approx(0.97)


def test_audits_are_nobodys_demand(client: FlaskClient, submit: Submit) -> None:
    draw(submit(prompt="again")["requests"][0]["id"])
    with transaction() as session:
        session.execute(update(Job).values(source="audit"))
        found = timeline(session, 60)
    assert (sum(found.demand), found.served) == (0, {})


def test_late_is_what_failed_or_has_passed_its_deadline(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["waits", "waits too long", "is cancelled"])
    with transaction() as session:
        changes: tuple[dict[str, object], ...] = ({"deadline_at": datetime.now(UTC)}, {"state": "cancelled"})
        for request, values in zip(job["requests"][1:], changes, strict=True):
            session.execute(update(Request).where(Request.id == uuid.UUID(request["id"])).values(**values))
        found = timeline(session, 15)
    assert (sum(found.demand), sum(found.late), sum(found.in_time)) == (3, 1, 2)


def plan(rate: float, served: dict[str, float], **more: object) -> PlanOut:
    observed = {"rate": rate / 60, "burst": False, "waiting": {"exact": 3}, "workers": {"cpu": 2}, "current": {}}
    decided = {"plan": {"served": {"c0": served}, "prices": {}, "shed": {}, "workers": {}, **more}}
    now = datetime.now(UTC)
    return PlanOut(
        **{"epoch": 1, "policy": "argus", "status": "optimal", "reason": "r", "seconds": 0.1, "created_at": now},
        observed=observed,
        decided=decided,
    )


def test_a_plan_says_in_words_that_demand_fits(family: Family) -> None:
    told = why(plan(20, {"exact": 20}), family, {"cpu": parse_profile(json.loads(PROFILE))})
    assert told == [
        "About 20.0 requests a minute are expected, and 3 requests that can still be in time wait.",
        "At exact, 2 workers carry about 60 a minute as measured: demand fits.",
        "So every prompt gets exact.",
    ]


def test_a_plan_says_in_words_why_levels_are_lowered(family: Family) -> None:
    more = {"shed": {"c0": 12.0}, "workers": {"cpu": {"large": 1, "turbo": 1}}}
    told = why(plan(120, {"exact": 30, "fs-10": 70}, **more), family, {"cpu": parse_profile(json.loads(PROFILE))})
    assert "At exact, 2 workers carry about 60 a minute as measured: 2.0 times that is wanted." in told
    assert "So the load is shared out: fs-10 70 %, exact 30 %." in told[2]
    assert told[3].startswith("12.0 requests a minute are more than the workers carry")
    assert "1 worker of type cpu loads turbo." in told


def test_what_a_worker_was_told_is_a_stretch_until_it_was_told_otherwise(client: FlaskClient) -> None:
    add_worker()
    now = datetime.now(UTC)
    with transaction() as session:
        row = Plan(family="paper", policy="argus", status="optimal", observed={}, decided={}, reason="r", seconds=0.1)
        session.add(row)
        session.flush()
        for minutes, model in ((90, "large"), (30, "large"), (10, "turbo")):
            told = {"worker": "cpu0@here", "models": [model], "queues": [], "reason": "planned"}
            session.add(Assignment(epoch=row.epoch, created_at=now - timedelta(minutes=minutes), **told))
        session.flush()
        (found,) = holdings(session, 60).values()
    assert [one.models for one in found] == [("large",), ("turbo",)]
    assert found[0].end == found[1].start == now - timedelta(minutes=10)
    assert (found[1].end - found[0].start).total_seconds() == pytest.approx(3600, abs=5)


@pytest.mark.usefixtures("measured")
def test_the_dashboard_draws_what_was_served_and_says_it_as_a_table(client: FlaskClient, submit: Submit) -> None:
    draw(submit(prompt="a cat")["requests"][0]["id"], "ac-5")
    for minutes in (15, 60, 360, 1440):
        page = client.get(f"/dashboard?minutes={minutes}", headers=PAGE).text
        assert 'class="area ac shade0"' in page
        assert "The charts as a table" in words(page)
    assert client.get("/dashboard?minutes=7", headers=PAGE).status_code == 200


@pytest.mark.usefixtures("measured")
def test_the_dashboard_says_what_was_learned_of_a_device_by_its_old_names_too(client: FlaskClient) -> None:
    learned = {"cpu": {"factors": {"large": 1.5}, "beside_s": {"large": 0.25}}}
    row = plan(20, {"exact": 20}).model_dump(exclude={"epoch", "created_at"})
    row["observed"]["corrections"] = learned
    with transaction() as session:
        session.add(Plan(family="paper", in_force=True, **row))
    assert "large 1.50× + 0.25 s" in words(client.get("/dashboard", headers=PAGE).text)
