"""Cancelling, pausing, resuming, retrying and reordering by what is selected; and lists of what is selected."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from core import requests
from core.client_tables import ClientAction
from core.database import transaction
from core.families import load_family
from core.open_requests import waiting
from core.requests import Choice
from core.settings import settings
from core.tables import Request, State
from scheduler.control.router import Router
from scheduler.observation.queries import background_by_level, waiting_by_level
from tests.app.conftest import Held, code_and_field, configured, draw
from tests.conftest import Services

Submit = Callable[..., dict[str, Any]]


def set_rows(*which: Any, **values: Any) -> None:
    with transaction() as session:
        session.execute(update(Request).where(*which).values(**values))


def row(request: dict[str, Any]) -> Request:
    with transaction() as session:
        return session.get_one(Request, uuid.UUID(request["id"]))


def states(client: FlaskClient, job: dict[str, Any]) -> list[str]:
    return [line["state"] for line in client.get(job["links"]["self"]).get_json()["requests"]]


def moved(client: FlaskClient, path: str, **body: Any) -> int:
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return int(answer.get_json()["requests"])


def queued(job: dict[str, Any], level: str = "exact") -> None:
    with transaction() as session:
        rows = session.scalars(select(Request).where(Request.job_id == uuid.UUID(job["id"]))).all()
    requests.route([Choice(one, level, "test") for one in rows], 1)


def test_what_is_paused_is_not_routed_not_drawn_and_no_demand_until_it_is_resumed(
    client: FlaskClient, submit: Submit
) -> None:
    family = load_family(settings().family)
    fresh, old = submit(prompts=["a", "b"]), submit(prompts=["c", "d"])
    queued(old)
    set_rows(Request.id == uuid.UUID(old["requests"][0]["id"]), state=State.RUNNING)
    assert moved(client, f"/v1/jobs/{fresh['id']}/pause") == 2
    assert moved(client, f"/v1/jobs/{old['id']}/pause") == 1
    assert states(client, old) == ["running", "paused"]
    assert client.get(f"/v1/jobs/{fresh['id']}").get_json()["state"] == "paused"
    assert Router(family).route() == 0
    assert waiting(family, list(family.levels), False, 9) == []
    with transaction() as session:
        assert waiting_by_level(session, family) == background_by_level(session, family) == {}
    assert moved(client, "/v1/requests/resume") == 3
    assert states(client, old) == ["running", "accepted"]
    assert moved(client, "/v1/requests/resume") == 0


def test_a_request_that_was_paused_has_as_much_time_left_as_before(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompt="a")
    before = row(job["requests"][0]).deadline_at
    moved(client, f"/v1/jobs/{job['id']}/pause")
    set_rows(paused_at=func.now() - timedelta(hours=3), deadline_unreachable=True)
    moved(client, f"/v1/jobs/{job['id']}/resume")
    after = row(job["requests"][0])
    assert after.deadline_at - before == pytest.approx(timedelta(hours=3), abs=timedelta(seconds=30))
    assert not after.deadline_unreachable


def test_what_is_redrawn_waits_with_its_level_again_once_it_is_resumed(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompt="a")
    draw(job["requests"][0]["id"], level="ac-5")
    requests.redraw(uuid.UUID(job["requests"][0]["id"]), "exact", "under its floor")
    assert moved(client, f"/v1/jobs/{job['id']}/pause") == moved(client, f"/v1/jobs/{job['id']}/resume") == 1
    assert (row(job["requests"][0]).state, row(job["requests"][0]).level) == (State.QUEUED, "exact")


def test_a_retry_keeps_ids_and_seeds_and_counts_attempts_anew(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b", "c"], seed=7)
    draw(job["requests"][0]["id"])
    second, third = job["requests"][1:]
    failed = {"state": State.FAILED, "error_code": "not_a_number", "error": "NaN", "attempts": 3, "level": "exact"}
    failed |= {"deadline_unreachable": True, "over_share": True}
    set_rows(Request.id == uuid.UUID(second["id"]), **failed)
    client.delete(job["links"]["self"])
    time = row(second).deadline_at - row(second).accepted_at
    assert moved(client, f"/v1/jobs/{job['id']}/retry", dry_run=True) == 2
    assert moved(client, f"/v1/jobs/{job['id']}/retry", state="failed") == 1
    again = row(second)
    assert (again.state, again.seed, again.error_code, again.level) == (State.ACCEPTED, 7, None, None)
    assert (again.attempts, again.attempts_before) == (3, 3)
    assert (again.deadline_unreachable, again.over_share) == (False, False)
    assert again.deadline_at - again.accepted_at == time
    assert states(client, job) == ["done", "accepted", "cancelled"]
    found = client.get(job["links"]["self"]).get_json()
    assert (found["cancelled_at"], found["state"]) == (None, "running")
    assert row(third).state == State.CANCELLED


def test_more_than_may_wait_is_not_retried(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b", "c"])
    client.delete(job["links"]["self"])
    with configured(ARGUS_MAX_WAITING="2"):
        assert code_and_field(client.post(f"/v1/jobs/{job['id']}/retry"))[:2] == (413, "too_large")
    assert states(client, job) == ["cancelled"] * 3


SELECTIONS = [
    ({"state": "queued"}, [1, 2]),
    ({"state": "accepted,queued"}, [0, 1, 2]),
    ({"level": "ac-5"}, [2]),
    ({"level": "ac-5, exact"}, [1, 2]),
    ({"positions": "0-1"}, [0, 1]),
    ({"positions": "2, 0"}, [0, 2]),
    ({"positions": "1-999999999", "prompt": "fox"}, [2]),
    ({"positions": "2-1"}, []),
    ({"prompt": "FOX"}, [0, 2]),
    ({"prompt": "100%"}, [1]),
    ({"prompt": "%"}, [1]),
    ({"service_class": "batch"}, []),
    ({"service_class": "interactive", "state": "accepted"}, [0]),
    ({"until": "2000-01-01"}, []),
    ({"since": "2000-01-01T00:00:00+02:00", "prompt": "fox", "state": "queued"}, [2]),
]


@pytest.mark.parametrize(("said", "places"), SELECTIONS)
def test_the_same_selection_is_listed_counted_and_moved(
    client: FlaskClient, submit: Submit, said: dict[str, str], places: list[int]
) -> None:
    job = submit(prompts=["a fox", "100% wool", "Foxes"])
    ids = [one["id"] for one in job["requests"]]
    for place, level in ((1, "exact"), (2, "ac-5")):
        set_rows(Request.id == uuid.UUID(ids[place]), state=State.QUEUED, level=level)
    wanted = [ids[place] for place in places]
    page = client.get(job["links"]["self"], query_string=said).get_json()
    assert [line["id"] for line in page["requests"]] == wanted
    assert page["selected"] == len(wanted)
    listed = client.get("/v1/requests", query_string=said).get_json()
    assert {line["id"] for line in listed["requests"]} == set(wanted)
    assert moved(client, f"/v1/jobs/{job['id']}/cancel", **said, dry_run=True) == len(wanted)
    assert moved(client, "/v1/requests/cancel", **said) == len(wanted)
    now = dict(zip(ids, states(client, job), strict=True))
    assert [one for one, state in now.items() if state == "cancelled"] == wanted


def test_requests_can_be_selected_by_their_ids(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b", "c"])
    two = [one["id"] for one in job["requests"][1:]]
    assert moved(client, f"/v1/jobs/{job['id']}/cancel", ids=two) == 2
    assert states(client, job) == ["accepted", "cancelled", "cancelled"]


def test_a_list_goes_on_where_it_ended_whatever_comes_meanwhile(client: FlaskClient, submit: Submit) -> None:
    jobs = [submit(prompts=[f"fox {n}", "wool"]) for n in range(3)]
    page = client.get("/v1/requests?prompt=fox&limit=2").get_json()
    submit(prompt="a new fox")
    rest = client.get(page["links"]["next"]).get_json()
    assert [line["prompt"] for line in (*page["requests"], *rest["requests"])] == ["fox 2", "fox 1", "fox 0"]
    assert rest["links"] == {}
    assert len(jobs) == 3


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("cancel", {"state": "lost"}, "state.0"),
        ("cancel", {"since": "yesterday"}, "since"),
        ("cancel", {"colour": "red"}, "colour"),
        ("cancel", {"prompt": ""}, "prompt"),
        ("cancel", {"prompt": "a\u0000"}, "prompt"),
        ("cancel", {"prompt": "\ud800"}, "prompt"),
        ("cancel", {"ids": "7"}, "ids.0"),
        ("cancel", {"positions": "-1"}, "positions.0"),
        ("cancel", {"positions": "1-2-3"}, "positions.0"),
        ("cancel", {"positions": ["1"] * 1001}, "positions"),
        ("cancel", {"dry_run": "perhaps"}, "dry_run"),
        ("reorder", {}, "priority"),
        ("reorder", {"priority": 5000}, "priority"),
    ],
)
def test_a_selection_that_cannot_be_is_refused_and_nothing_moves(
    client: FlaskClient, submit: Submit, path: str, body: dict[str, Any], field: str
) -> None:
    job = submit(prompt="a")
    found = code_and_field(client.post(f"/v1/jobs/{job['id']}/{path}", json=body))
    assert found[0] in (400, 422)
    assert (found[2] or "").startswith(field)
    assert states(client, job) == ["accepted"]


def test_a_form_of_another_site_moves_nothing(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompt="a")
    assert client.post(f"/v1/jobs/{job['id']}/cancel", data={"state": "accepted"}).status_code == 415
    assert states(client, job) == ["accepted"]


def test_background_work_is_drawn_by_priority_then_by_deadline(client: FlaskClient, submit: Submit) -> None:
    first, second, third = (submit(prompt=name, service_class="batch") for name in "abc")
    for job in (first, second, third):
        queued(job)
    family = load_family(settings().family)

    def order() -> list[str]:
        return [str(one.id) for one in waiting(family, list(family.levels), True, 9)]

    a, b, c = (job["requests"][0]["id"] for job in (first, second, third))
    assert order() == [a, b, c]
    assert moved(client, f"/v1/jobs/{third['id']}/reorder", priority="first") == 1
    assert order() == [c, a, b]
    assert moved(client, f"/v1/jobs/{first['id']}/reorder", priority="last") == 1
    assert order() == [c, b, a]
    assert moved(client, f"/v1/jobs/{second['id']}/reorder", priority=7) == 1
    assert order() == [b, c, a]
    assert client.get(f"/v1/jobs/{second['id']}").get_json()["priority"] == 7


def drawn_by(client: FlaskClient) -> list[str]:
    """Prompts of background work, in the order in which it is drawn."""
    family = load_family(settings().family)
    return [str(one.prompt) for one in waiting(family, list(family.levels), True, 99)]


def test_what_is_selected_of_several_jobs_goes_first_in_its_own_order(client: FlaskClient, submit: Submit) -> None:
    for name in ("fox a", "owl", "fox b", "fox c"):
        queued(submit(prompt=name, service_class="batch"))
    assert moved(client, "/v1/requests/reorder", priority="first", prompt="fox b") == 1
    assert moved(client, "/v1/requests/reorder", priority="first", prompt="fox") == 2  # b has the priority already
    assert drawn_by(client) == ["fox a", "fox b", "fox c", "owl"]
    assert moved(client, "/v1/requests/reorder", priority="first", prompt="fox") == 0
    assert moved(client, "/v1/requests/reorder", priority="last", prompt="fox") == 3
    assert drawn_by(client) == ["owl", "fox a", "fox b", "fox c"]


def test_one_of_a_job_goes_before_the_others_and_the_job_has_the_priority_it_had(
    client: FlaskClient, submit: Submit
) -> None:
    job = submit(prompts=["a", "b", "c"], service_class="batch")
    queued(job)
    path = f"/v1/jobs/{job['id']}/reorder"
    assert moved(client, path, priority=5) == 3
    assert moved(client, path, priority="first", ids=[job["requests"][2]["id"]]) == 1
    assert drawn_by(client)[0] == "c"
    assert client.get(job["links"]["self"]).get_json()["priority"] == 5


def test_first_is_before_the_highest_priority_that_may_be_asked_for(client: FlaskClient, submit: Submit) -> None:
    first, second = (submit(prompt=name, service_class="batch") for name in "ab")
    for job in (first, second):
        queued(job)
    moved(client, f"/v1/jobs/{first['id']}/reorder", priority=1000)
    for job, order in ((second, ["b", "a"]), (first, ["a", "b"])):
        moved(client, f"/v1/jobs/{job['id']}/reorder", priority="first")
        assert drawn_by(client) == order


def test_it_is_known_who_did_what_to_how_many(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b"])
    for verb in ("pause", "resume", "cancel", "retry"):
        moved(client, f"/v1/jobs/{job['id']}/{verb}")
    moved(client, f"/v1/jobs/{job['id']}/reorder", priority=1)
    with transaction() as session:
        actions = session.scalars(select(ClientAction).order_by(ClientAction.id)).all()
    assert [action.action for action in actions] == [
        *("created", "paused", "resumed", "cancelled", "retried", "reordered")
    ]
    assert {action.details["requests"] for action in actions} == {2}


def test_thousands_are_moved_in_portions_past_rows_that_somebody_holds(
    client: FlaskClient, submit: Submit, monkeypatch: pytest.MonkeyPatch, database: Services
) -> None:
    from core import user_moves

    monkeypatch.setattr(user_moves, "PORTION", 3)
    monkeypatch.setattr("app.moves.PATIENCE_S", 0.2)
    job = submit(prompts=[f"prompt {n}" for n in range(10)])
    held = uuid.UUID(job["requests"][4]["id"])
    with transaction() as other:
        other.scalar(select(Request.id).where(Request.id == held).with_for_update())
        assert moved(client, f"/v1/jobs/{job['id']}/pause") == 9
    assert moved(client, f"/v1/jobs/{job['id']}/pause") == 1


def test_moves_and_lists_of_all_jobs_are_of_the_callers_own_unless_it_is_an_admin(
    client: FlaskClient, keys: Held
) -> None:
    mine = client.post("/v1/jobs", json={"prompts": ["a", "b"]}, headers=keys.bearer("both")).get_json()
    path, foreign, admin = "/v1/requests/cancel", keys.bearer("foreign"), keys.bearer("admin")
    assert client.get("/v1/requests", headers=foreign).get_json()["requests"] == []
    assert client.post(path, headers=foreign).get_json()["requests"] == 0
    named = {"ids": [one["id"] for one in mine["requests"]]}
    assert client.post(path, json=named, headers=foreign).get_json()["requests"] == 0
    assert client.post(path, json={"tenant": row(mine["requests"][0]).tenant}, headers=foreign).get_json()["jobs"] == 0
    assert client.post(f"/v1/jobs/{mine['id']}/cancel", headers=foreign).status_code == 404
    assert client.post(path, json={"dry_run": True}, headers=admin).get_json()["requests"] == 2
    assert client.post(path, headers=keys.bearer("both")).get_json()["requests"] == 2
