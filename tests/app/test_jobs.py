"""Submitting, reading, cancelling and removing jobs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from sqlalchemy import select, update

from core.database import transaction
from core.errors import NotFound
from core.images import ImageStore
from core.messages import ROUTER_QUEUE
from core.tables import Image, Job, Request, State
from tests.app.conftest import code_and_field, configured, draw, rows
from tests.conftest import Services

Submit = Callable[..., dict[str, Any]]


def seconds(accepted: dict[str, Any]) -> float:
    times = [datetime.fromisoformat(accepted[key]) for key in ("accepted_at", "deadline_at")]
    return (times[1] - times[0]).total_seconds()


def test_a_longer_request_has_more_time_unless_it_says_how_much(submit: Submit) -> None:
    usual, long, short = (seconds(submit(prompt="a red apple", steps=steps)) for steps in (20, 40, 1))
    assert long == pytest.approx(2 * usual)
    assert short == usual
    assert seconds(submit(prompt="a red apple", steps=40, deadline_s=7)) == 7


def test_a_job_is_committed_and_then_published(client: FlaskClient, submit: Submit, database: Services) -> None:
    job = submit(prompts=["a red apple", {"prompt": "a blue bird", "seed": 7}], title="two")
    assert job["size"] == len(job["requests"]) == 2
    assert job["published"]
    assert job["requests"][1]["seed"] == 7
    with redis.Redis.from_url(database.broker_url) as broker:
        assert broker.llen(ROUTER_QUEUE) == 1
        assert job["id"].encode() in broker.lindex(ROUTER_QUEUE, 0)
    read = client.get(job["links"]["self"]).get_json()
    assert (read["state"], read["counts"]["accepted"], read["progress"]) == ("waiting", 2, 0.0)
    assert read["published_at"]


def test_the_answer_says_where_the_job_is(client: FlaskClient) -> None:
    answer = client.post("/v1/jobs", json={"prompt": "a red apple"})
    assert answer.headers["Location"] == answer.get_json()["links"]["self"]


def test_each_prompt_is_drawn_once_for_every_seed(client: FlaskClient, submit: Submit) -> None:
    assert [r["seed"] for r in submit(prompts=["a", "b"], n=2, seed=5)["requests"]] == [5, 6, 5, 6]
    assert [r["seed"] for r in submit(prompts=["a", "b"], seeds=[3, 9])["requests"]] == [3, 9, 3, 9]
    drawn = [r["seed"] for r in submit(prompts=["a"] * 20)["requests"]]
    assert len(set(drawn)) > 1


def test_options_of_a_prompt_win_over_those_of_the_job_and_those_over_the_family(
    client: FlaskClient, submit: Submit
) -> None:
    own = {"prompt": "b", "steps": 30, "level": "exact", "min_quality": 0.5}
    job = submit(prompts=["a", own], steps=10, width=128, level="ac-5")
    first, second = [client.get(r["link"]).get_json() for r in job["requests"]]
    assert (first["steps"], first["level_asked"], first["quality"]["floor"]) == (10, "ac-5", None)
    assert (second["steps"], second["level_asked"], second["quality"]["floor"]) == (30, "exact", 0.5)
    assert (first["width"], first["height"], first["guidance"]) == (128, 64, 2.0)


def test_the_deadline_is_asked_or_the_window_or_the_target(client: FlaskClient, submit: Submit) -> None:
    assert seconds(submit(prompt="a", deadline_s=12.5)) == pytest.approx(12.5)
    with configured(ARGUS_BATCH_WINDOW_S="3600"):
        assert seconds(submit(prompt="a", service_class="batch")) == pytest.approx(3600)
    with configured(ARGUS_SLO_S="4"):
        assert seconds(submit(prompt="a")) == pytest.approx(4)
    assert seconds(submit(prompt="a")) == pytest.approx(60)  # no profile of this family yet: 3 × 20 s


def test_a_thousand_prompts_in_one_job_are_listed_page_by_page(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=[f"prompt {i}" for i in range(1000)])
    assert rows() == (1, 1000)
    found, address = [], job["links"]["self"] + "?per_page=300"
    while address:
        page = client.get(address).get_json()
        found += [request["prompt"] for request in page["requests"]]
        address = page["links"].get("next")
    assert found == [f"prompt {i}" for i in range(1000)]


def test_with_the_broker_away_a_job_is_accepted_and_waits_to_be_published(
    client: FlaskClient, submit: Submit, broker_away: None
) -> None:
    job = submit(prompt="a red apple")
    assert client.get("/readyz").status_code == 503
    assert not job["published"]
    assert rows() == (1, 1)
    assert client.get(job["links"]["self"]).get_json()["published_at"] is None


def test_cancelling_ends_what_is_open_keeps_what_is_done_and_does_it_once(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b", "c"])
    image = draw(job["requests"][0]["id"])
    with transaction() as session:
        running = uuid.UUID(job["requests"][1]["id"])
        session.execute(update(Request).where(Request.id == running).values(state=State.RUNNING))
    first = client.delete(job["links"]["self"]).get_json()
    assert (first["state"], first["counts"]["done"], first["counts"]["cancelled"]) == ("cancelled", 1, 2)
    second = client.delete(job["links"]["self"])
    assert second.status_code == 200
    assert second.get_json()["cancelled_at"] == first["cancelled_at"]
    assert client.get(f"/v1/images/{image}").status_code == 200


def test_cancelling_a_finished_job_changes_nothing(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompt="a")
    draw(job["requests"][0]["id"])
    after = client.delete(job["links"]["self"]).get_json()
    assert (after["state"], after["cancelled_at"]) == ("done", None)


def test_purging_removes_rows_and_files(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b"])
    image = draw(job["requests"][0]["id"])
    with transaction() as session:
        key = session.scalars(select(Image.key)).one()
    assert client.delete(job["links"]["self"] + "?purge=true").status_code == 204
    assert rows() == (0, 0)
    with pytest.raises(NotFound):
        ImageStore().get(key)
    assert code_and_field(client.get(f"/v1/images/{image}")) == (404, "not_found", "id")
    assert code_and_field(client.delete(job["links"]["self"])) == (404, "not_found", "id")


def test_jobs_are_listed_newest_first_without_audits(client: FlaskClient, submit: Submit) -> None:
    first, second = submit(prompt="a", title="first"), submit(prompt="b", title="second")
    audit = submit(prompt="c")
    with transaction() as session:
        session.execute(update(Job).where(Job.id == uuid.UUID(audit["id"])).values(source="audit"))
    listed = client.get("/v1/jobs").get_json()
    assert [job["id"] for job in listed["jobs"]] == [second["id"], first["id"]]
    assert listed["total"] == 2
    assert [job["title"] for job in client.get("/v1/jobs?per_page=1&page=2").get_json()["jobs"]] == ["first"]


@pytest.mark.parametrize(
    ("query", "field"),
    [("page=0", "page"), ("per_page=5000", "per_page"), ("per_page=x", "per_page"), ("limit=3", "limit")],
)
def test_a_page_that_cannot_be_is_refused(client: FlaskClient, query: str, field: str) -> None:
    assert code_and_field(client.get(f"/v1/jobs?{query}"))[2] == field


def test_a_job_without_an_image_has_failed_and_a_job_with_one_is_done(client: FlaskClient, submit: Submit) -> None:
    job = submit(prompts=["a", "b"])
    with transaction() as session:
        failed = {"state": State.FAILED, "error_code": "not_a_number", "error": "NaN at step 3"}
        session.execute(update(Request).values(failed))
    read = client.get(job["links"]["self"]).get_json()
    assert (read["state"], read["progress"]) == ("failed", 1.0)
    assert client.get(job["requests"][0]["link"]).get_json()["error"]["code"] == "not_a_number"
    draw(job["requests"][1]["id"])
    assert client.get(job["links"]["self"]).get_json()["state"] == "done"


def test_over_the_rate_limit_a_submission_is_refused_and_not_stored(database: Services, family: Any) -> None:
    from app import create_app

    with configured(ARGUS_RATE_LIMIT="2/minute"):
        client = create_app().test_client()
        answers = [client.post("/v1/jobs", json={"prompt": "a"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert code_and_field(answers[2])[1] == "too_often"
    assert int(answers[2].headers["Retry-After"]) > 0
    assert rows() == (2, 2)
