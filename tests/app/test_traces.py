"""What is written down of what clients do, and what is not."""

from __future__ import annotations

import io
import uuid
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text

from core.client_tables import ClientAction
from core.database import transaction
from scheduler.control.trim import trim_history
from tests.app.conftest import configured, draw
from tests.conftest import Services

SECRET = "the crown jewels"


def actions() -> list[tuple[str, str, uuid.UUID, dict[str, Any]]]:
    with transaction() as session:
        rows = session.scalars(select(ClientAction).order_by(ClientAction.id)).all()
        return [(row.client, row.action, row.job_id, row.details) for row in rows]


def test_creating_cancelling_and_removing_leave_a_trace_that_outlives_the_job(client: FlaskClient) -> None:
    client.environ_base["REMOTE_ADDR"] = "10.0.0.7"
    job = client.post("/v1/jobs", json={"prompt": SECRET, "n": 2}).get_json()
    image = draw(job["requests"][0]["id"])
    client.delete(f"/v1/jobs/{job['id']}")
    client.delete(f"/v1/jobs/{job['id']}")
    client.delete(f"/v1/jobs/{job['id']}?purge=true")
    of_job = ("10.0.0.7", uuid.UUID(job["id"]))
    assert [(who, what, details) for who, what, _, details in actions()] == [
        ("10.0.0.7", "created", {"source": "api", "requests": 2}),
        ("10.0.0.7", "cancelled", {"requests": 1}),
        ("10.0.0.7", "removed", {"requests": 2, "images": [image]}),
    ]
    assert {(who, job_id) for who, _, job_id, _ in actions()} == {of_job}


def test_what_was_refused_or_sent_again_leaves_none(client: FlaskClient) -> None:
    client.post("/v1/jobs", json={"prompt": ""})
    for _ in range(2):
        client.post("/v1/jobs", json={"prompt": "a"}, headers={"Idempotency-Key": "k"})
    assert [what for _, what, _, _ in actions()] == ["created"]


def test_actions_are_forgotten_after_a_year(client: FlaskClient) -> None:
    client.post("/v1/jobs", json={"prompt": "a"})
    assert trim_history()["actions"] == 0
    with transaction() as session:
        session.execute(text("UPDATE client_action SET at = now() - interval '366 days'"))
    assert trim_history()["actions"] == 1


def http_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What was logged of HTTP requests."""
    return [found.msg for found in caplog.records if isinstance(found.msg, dict) and found.msg["event"] == "http"]


def test_a_request_is_a_line_with_its_route_status_and_client(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    job = client.post("/v1/jobs", json={"prompt": "a"}).get_json()
    read = client.get(f"/v1/jobs/{job['id']}?page=1")
    client.get("/no/such/page?token=x")
    client.post("/v1/jobs", data="{", content_type="application/json", headers={"Host": "evil.example"})
    lines = http_lines(caplog)
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", "/v1/jobs", 202),
        ("GET", "/v1/jobs/<uuid:job_id>", 200),
        ("GET", "(none)", 404),
        ("POST", "/v1/jobs", 403),
    ]
    assert {line["client"] for line in lines} == {"127.0.0.1"}
    assert lines[1]["job_id"] == job["id"]
    assert all(line["ms"] >= 0 for line in lines)
    assert read.headers["X-Request-ID"] == lines[1]["http_id"]


def test_probes_and_files_of_pages_are_no_lines(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    client.get("/healthz")
    client.get("/static/argus.css")
    assert http_lines(caplog) == []


@pytest.mark.parametrize("value", [SECRET, f"{SECRET}\0"])
def test_neither_prompts_nor_secrets_are_logged(
    client: FlaskClient, services: Services, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    """Whatever is wrong with them, and wherever they stand."""
    caplog.set_level("DEBUG")
    headers = {"Authorization": f"Bearer {SECRET}", "Cookie": f"argus_token={SECRET}", "Idempotency-Key": SECRET}
    bodies = ({"prompt": value, "seed": -5}, {"prompts": [value]}, {value: 1}, {"prompt": "a", "level": value})
    with configured(ARGUS_COMPAT_WAIT_S="1"):  # nobody draws what is right
        for path in ("/v1/jobs", "/v1/images/generations", "/sdapi/v1/txt2img"):
            for body in bodies:
                client.post(path, json=body, headers=headers)
    client.post("/v1/jobs/csv", data={"file": (io.BytesIO(f"prompt\n{value}\n".encode()), f"{SECRET}.csv")})
    client.post("/", data={"argus_token": SECRET, "prompts": value}, headers=headers)
    client.get("/gallery", query_string={"level": value})
    client.get(f"/{SECRET}")
    assert len(caplog.records) > 10
    for secret in (SECRET, services.database_url, services.broker_url):
        assert secret not in caplog.text
