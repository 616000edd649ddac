"""What-if: the last hour is simulated with another policy or other workers, beside what was; by the operator alone."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from core.database import transaction
from core.families import Family
from core.tables import Worker
from core.what_if_tables import WhatIf
from scheduler.control.what_ifs import answer_what_ifs
from scheduler.simulate.what_if import find, last_hour
from scheduler.simulate.what_if import measured as measured_of
from tests.app.conftest import Held, configured
from tests.app.web.conftest import PAGE, token, words
from tests.app.web.filled import World


@pytest.fixture
def hour(family: Family, measured: None) -> Iterator[World]:
    """An hour of work, and one worker that is measured and stays ready."""
    with configured(ARGUS_STALE_S="600"):
        world = World(family)
        for minutes in range(50, 4, -2):
            world.job(6, minutes)
        yield world


def ask(client: FlaskClient, policy: str = "argus", workers: str = "1") -> Any:
    said = {"argus_token": token(client), "policy": policy, "workers-cpu": workers}
    return client.post("/dashboard/what-if", data=said, headers=PAGE)


def newest() -> WhatIf:
    with transaction() as session:
        found = session.scalars(select(WhatIf).order_by(WhatIf.asked_at.desc())).first()
    assert found is not None
    return found


def test_it_is_asked_waited_for_and_stands_beside_what_was(client: FlaskClient, hour: World) -> None:
    answer = ask(client, workers="4")
    address = answer.headers["Location"]
    assert answer.status_code == 303
    waiting = client.get(address, headers=PAGE).text
    assert "Waiting for the scheduler" in waiting
    assert f'hx-get="/dashboard/what-if/{newest().id}"' in waiting
    assert answer_what_ifs() == 1
    found = newest().found
    assert found is not None, newest().error
    assert found["was"] == {"policy": "argus", "workers": {"cpu": 1}}
    assert found["measured"]["requests"] == found["same"]["requests"] == found["other"]["requests"] > 100
    assert found["other"]["p95_s"] <= found["same"]["p95_s"]
    assert found["other"]["late"] <= found["same"]["late"]
    shown = client.get(f"/dashboard/what-if/{newest().id}", headers=PAGE).text
    assert "hx-trigger" not in shown
    said = words(shown)
    assert "Simulated: argus, 4 × cpu" in said
    assert "The same, simulated" in said
    assert re.search(r"off by [\d.]+ points and quality by [\d.]+ points: smaller differences say nothing", said)


def test_a_question_that_is_sent_twice_is_asked_once(client: FlaskClient, hour: World) -> None:
    page = client.get("/dashboard", headers=PAGE).text
    fields = dict(re.findall(r'name="(argus_token|idempotency_key)" value="([^"]+)"', page))
    said = {**fields, "policy": "argus", "workers-cpu": "2"}
    first, again = (client.post("/dashboard/what-if", data=said, headers=PAGE) for _ in range(2))
    assert (first.status_code, again.location) == (303, first.location)
    other = client.post("/dashboard/what-if", data={**said, "workers-cpu": "3"}, headers=PAGE)
    assert other.location != first.location
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(WhatIf)) == 2


def test_the_same_again_is_simulated_once(client: FlaskClient, hour: World) -> None:
    ask(client)
    answer_what_ifs()
    found = newest().found
    assert found is not None
    assert found["other"] == found["same"]


def test_what_was_is_what_became_of_the_rows(client: FlaskClient, hour: World) -> None:
    with transaction() as session:
        found = last_hour(session)
    kept, was = found.kept, measured_of(found.kept)
    assert not found.cut
    drawn = [n for n, at in enumerate(kept.requests["stored"]) if at is not None]
    assert was.requests == len(kept.requests["at"])
    assert was.late == pytest.approx(sum(kept.requests["late"]) / was.requests)
    assert sum(was.levels.values()) == pytest.approx(1)
    assert was.levels["fs-10"] == pytest.approx(
        sum(kept.requests["level"][n] == "fs-10" for n in drawn) / len(drawn), abs=1e-9
    )


def test_more_than_can_be_simulated_in_time_is_cut_to_the_end_of_the_hour(
    client: FlaskClient, hour: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.simulate.what_if.MOST", 20)
    with transaction() as session:
        found = last_hour(session)
    assert found.cut
    assert len(found.kept.requests["at"]) == 20
    assert found.until - found.since < timedelta(minutes=20)
    assert found.kept.about["history"]


def test_with_nothing_to_simulate_that_is_said(client: FlaskClient, measured: None) -> None:
    with configured(ARGUS_STALE_S="600"):
        ask(client)
        answer_what_ifs()
    assert "Nothing was asked for in this time." in client.get(f"/dashboard/what-if/{newest().id}", headers=PAGE).text


def test_without_a_worker_nothing_can_be_asked(client: FlaskClient, family: Family) -> None:
    assert "No worker is ready: there is nothing to simulate with." in client.get("/dashboard", headers=PAGE).text
    assert ask(client).status_code == 400


def test_a_simulation_that_takes_too_long_is_ended_and_that_is_said(client: FlaskClient, hour: World) -> None:
    ask(client)
    assert answer_what_ifs(most_s=0.01) == 1
    assert "took longer than 0.01 s" in client.get(f"/dashboard/what-if/{newest().id}", headers=PAGE).text
    assert answer_what_ifs() == 0


def test_a_question_that_nobody_takes_ends_with_a_plain_sentence(client: FlaskClient, hour: World) -> None:
    ask(client)
    with transaction() as session:
        session.execute(update(WhatIf).values(asked_at=func.now() - timedelta(minutes=2)))
    shown = client.get(f"/dashboard/what-if/{newest().id}", headers=PAGE).text
    assert "No scheduler took this" in shown
    assert "hx-trigger" not in shown


@pytest.mark.parametrize(("policy", "workers"), [("oracle", "1"), ("nothing", "1"), ("pac", "0"), ("pac", "-1"),
                                                 ("pac", "1000000"), ("pac", "many"), ("pac", "")])  # fmt: skip
def test_what_cannot_be_simulated_is_refused(client: FlaskClient, hour: World, policy: str, workers: str) -> None:
    assert ask(client, policy, workers).status_code in (400, 422)
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(WhatIf)) == 0


def test_another_policy_is_simulated_over_the_same_requests(
    client: FlaskClient, hour: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.simulate.what_if.MOST", 30)
    with transaction() as session:
        found = last_hour(session)
    for policy in ("clipper-ht", "pac", "argus-paper"):
        one = find(found, policy, {"cpu": 2})
        assert one.other.requests == one.measured.requests == 30
    cheapest = find(found, "clipper-ht", {"cpu": 1})
    assert cheapest.other.levels["fs-10"] > cheapest.same.levels.get("fs-10", 0.0)
    assert cheapest.other.quality < cheapest.same.quality


def test_only_the_operator_sees_and_asks_it(client: FlaskClient, keys: Held) -> None:
    assert 'id="what-if"' not in client.get("/dashboard", headers=PAGE | keys.bearer("read")).text
    assert 'id="what-if"' in client.get("/dashboard", headers=PAGE | keys.bearer("admin")).text
    unknown = f"/dashboard/what-if/{uuid.uuid4()}"
    assert client.get(unknown, headers=keys.bearer("read")).status_code == 403
    assert client.get(unknown, headers=keys.bearer("admin")).status_code == 404


def test_the_workers_that_are_offered_are_those_that_are_ready(client: FlaskClient, hour: World) -> None:
    with transaction() as session:
        session.execute(update(Worker).values(device_type="nvidia-h100"))
    page = client.get("/dashboard", headers=PAGE).text
    assert 'name="workers-nvidia-h100" type="number" min="0" max="512" value="1"' in page
