"""Webhooks are set up, tried, listed and replayed by their tenant, and asked for by jobs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import select
from standardwebhooks import Webhook

from cli.main import argus
from core.database import transaction
from core.tables import Job
from core.webhook_tables import WebhookEndpoint
from core.webhooks.delivery import Deliverer
from tests.app.conftest import code_and_field, configured, draw, rows
from tests.app.web_process import Web, web_process
from tests.conftest import Services
from tests.core.webhooks.receivers import receiving, until

PUBLIC = "https://hooks.example.org/a"


@pytest.fixture(autouse=True)
def allowed() -> Iterator[None]:
    with configured(ARGUS_WEBHOOK_PRIVATE="127.0.0.1"):
        yield


@pytest.fixture
def secret(client: FlaskClient) -> str:
    answer = client.post("/v1/webhooks/secret")
    assert answer.status_code == 201
    return str(answer.get_json()["secret"])


def hook_of(job: dict[str, Any]) -> dict[str, Any] | None:
    with transaction() as session:
        return session.scalar(select(Job.webhook).where(Job.id == job["id"]))


def tell() -> None:
    deliverer = Deliverer()
    deliverer.turn()
    until(deliverer.idle)


def test_a_job_tells_the_address_it_names_with_the_events_it_names(client: FlaskClient, secret: str) -> None:
    with receiving() as receiver:
        body = {"prompt": "a fox", "webhook": receiver.url, "webhook_events": ["request.done", "job.done"]}
        job = client.post("/v1/jobs", json=body).get_json()
        draw(job["requests"][0]["id"])
        tell()
        tell()
        told = [Webhook(secret).verify(sent, headers) for headers, sent in receiver.heard]
    assert sorted(each["type"] for each in told) == ["job.done", "request.done"]
    assert {each["data"]["job_id"] for each in told} == {job["id"]}
    assert client.get(job["links"]["self"]).get_json()["webhook"] == receiver.url


def test_jobs_that_name_none_tell_what_is_set_and_others_tell_nobody(client: FlaskClient, secret: str) -> None:
    before = client.post("/v1/jobs", json={"prompt": "a"}).get_json()
    answer = client.put("/v1/webhooks", json={"url": PUBLIC, "events": ["request.failed"]})
    assert answer.get_json() == client.get("/v1/webhooks").get_json()
    after = client.post("/v1/jobs", json={"prompt": "a"}).get_json()
    data = {"file": (io.BytesIO(b"prompt\na fox\n"), "a.csv"), "webhook": "https://other.example/"}
    file = client.post("/v1/jobs/csv", data=data).get_json()
    client.put("/v1/webhooks", json={"url": None})
    none = client.post("/v1/jobs", json={"prompt": "a"}).get_json()
    usual = {"url": PUBLIC, "host": "hooks.example.org", "events": ["request.failed"]}
    assert [hook_of(job) for job in (before, after, none)] == [None, usual, None]
    assert hook_of(file) == {"url": "https://other.example/", "host": "other.example", "events": ["job.done"]}


BAD: list[tuple[dict[str, Any], tuple[int, str, str]]] = [
    ({"webhook": "http://10.0.0.1/"}, (400, "bad_input", "webhook")),
    ({"webhook": "http://[::ffff:169.254.169.254]/latest"}, (400, "bad_input", "webhook")),
    ({"webhook": "file:///etc/passwd"}, (400, "bad_input", "webhook")),
    ({"webhook_events": ["job.done"]}, (400, "bad_input", "webhook_events")),
    ({"webhook": PUBLIC, "webhook_events": ["job.begun"]}, (400, "bad_input", "webhook_events.0")),
    ({"webhook": PUBLIC, "webhook_events": []}, (400, "bad_input", "webhook_events")),
]


@pytest.mark.parametrize(("body", "told"), BAD)
def test_addresses_and_events_that_cannot_be_are_refused_with_their_field(
    client: FlaskClient, secret: str, body: dict[str, Any], told: Any
) -> None:
    assert code_and_field(client.post("/v1/jobs", json={"prompt": "a", **body})) == told
    assert rows() == (0, 0)


def test_without_a_secret_nothing_can_be_told(client: FlaskClient) -> None:
    refused = client.post("/v1/jobs", json={"prompt": "a", "webhook": PUBLIC})
    assert code_and_field(refused) == (400, "bad_input", "webhook")
    assert "argus webhooks secret" in refused.get_json()["detail"]
    assert client.put("/v1/webhooks", json={"url": PUBLIC}).status_code == 400
    assert client.post("/v1/webhooks/test", json={"url": PUBLIC}).status_code == 400


def test_a_form_of_another_site_replays_nothing(client: FlaskClient, secret: str) -> None:
    for path in ("replay", "test"):
        answer = client.post(f"/v1/webhooks/{path}", data="{}", content_type="text/plain")
        assert code_and_field(answer) == (415, "wrong_media_type", None), path


def test_a_secret_is_told_once_and_the_one_before_signs_for_a_day(client: FlaskClient, secret: str) -> None:
    with receiving() as receiver:
        client.put("/v1/webhooks", json={"url": receiver.url})
        new = client.post("/v1/webhooks/secret").get_json()["secret"]
        shown = client.get("/v1/webhooks").text
        assert client.post("/v1/webhooks/test", json={}).status_code == 202
        tell()
    ((headers, body),) = receiver.heard
    assert {Webhook(each).verify(body, headers)["type"] for each in (secret, new)} == {"webhook.test"}
    assert secret not in shown
    assert new not in shown
    assert '"has_secret": true' in shown or '"has_secret":true' in shown


def test_events_are_listed_with_their_tries_and_told_once_more(client: FlaskClient, secret: str) -> None:
    with receiving(status=500, text="no") as receiver:
        event = client.post("/v1/webhooks/test", json={"url": receiver.url}).get_json()
        tell()
        (listed,) = client.get("/v1/webhooks/events?state=waiting").get_json()["events"]
        read = client.get(listed["link"]).get_json()
        assert (read["id"], read["attempts"]) == (event["id"], 1)
        assert [(each["status"], each["answer"]) for each in read["deliveries"]] == [(500, "no")]
        receiver.status = 200
        assert client.post(f"{event['link']}/replay").status_code == 202
        tell()
    assert client.get(event["link"]).get_json()["state"] == "delivered"
    assert client.get("/v1/webhooks/events?state=failed").get_json()["total"] == 0
    assert client.post("/v1/webhooks/replay", json={"state": "delivered"}).get_json() == {"replayed": 1}
    assert client.post("/v1/webhooks/replay", json={}).get_json() == {"replayed": 0}
    assert len({headers["webhook-id"] for headers, _ in receiver.heard}) == 1


def test_an_event_of_another_tenant_is_not_there(client: FlaskClient, secret: str) -> None:
    with transaction() as session:
        from app.webhooks import new_secret, test_event

        new_secret(session, "other")
        event = test_event(session, "other", PUBLIC)
    assert client.get("/v1/webhooks/events").get_json()["total"] == 0
    assert client.get(f"/v1/webhooks/events/{event.id}").status_code == 404
    assert client.post(f"/v1/webhooks/events/{event.id}/replay").status_code == 404
    assert client.post("/v1/webhooks/replay", json={"state": None}).get_json() == {"replayed": 0}


def test_who_reads_reports_cannot_read_secrets(client: FlaskClient, secret: str, services: Services) -> None:
    import psycopg2

    with psycopg2.connect(services.superuser_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT has_table_privilege('argus_report', 'webhook_endpoint', 'SELECT')")
        assert cursor.fetchone() == (False,)
    connection.close()
    with transaction() as session:
        assert session.get_one(WebhookEndpoint, "default").secret == secret


@pytest.fixture
def web(database: Services, services: Services, family_file: Any) -> Iterator[Web]:
    with web_process(services, family_file) as running:
        yield running


def test_the_command_line_sets_up_tries_lists_and_replays(web: Web) -> None:
    def run(*words: str) -> str:
        result = CliRunner().invoke(argus, ["webhooks", *words, "--url", web.url])
        assert result.exit_code == 0, result.output
        return result.output

    assert "no secret yet" in run("show")
    assert run("secret").startswith("whsec_")
    assert "hooks.example.org" in run("set", PUBLIC, "--event", "request.done")
    assert "a secret signs" in run("show")
    assert "argus webhooks list" in run("test")
    assert "webhook.test" in run("list", "--state", "waiting", "--json", "-")
    assert "1 events" in run("replay", "--state", "waiting")
    assert "nobody" in run("set", "none")
