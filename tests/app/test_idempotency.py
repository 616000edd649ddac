"""Sent again it is done once; and 503 means that it was not done."""

from __future__ import annotations

import io
import re
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, text

from app import listening
from app.idempotency import FORMS
from bench.chaos.proxy import Cut, Proxy
from core import database as core_database
from core.client_tables import IdempotencyKey
from core.database import forget_connections, transaction
from core.tenant_tables import ApiKey
from scheduler.control.trim import trim_history
from tests.app.conftest import Held, code_and_field, configured, draw, rows
from tests.conftest import Services

KEY = {"Idempotency-Key": "k-1"}


def send(client: FlaskClient, key: dict[str, str] = KEY, **body: Any) -> Any:
    return client.post("/v1/jobs", json={"prompt": "a fox", **body}, headers=key)


def without_published(answer: Any) -> dict[str, Any]:
    return {name: value for name, value in answer.get_json().items() if name != "published"}


def test_the_same_key_is_answered_with_the_first_job(client: FlaskClient) -> None:
    first, again = send(client, n=3), send(client, n=3)
    assert (first.status_code, again.status_code) == (202, 202)
    assert without_published(first) == without_published(again)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert rows() == (1, 3)


def test_a_file_sent_again_is_done_once(client: FlaskClient) -> None:
    def upload() -> Any:
        data = {"file": (io.BytesIO(b"prompt,mood\na fox,good\n"), "a.csv")}
        return client.post("/v1/jobs/csv", data=data, headers=KEY)

    first, again = upload(), upload()
    assert without_published(first) == without_published(again)
    assert again.get_json()["ignored_columns"] == ["mood"]
    assert rows() == (1, 1)


def test_another_submission_under_the_same_key_is_refused(client: FlaskClient) -> None:
    send(client)
    assert code_and_field(send(client, prompt="a bear")) == (422, "idempotency_key_reused", "Idempotency-Key")
    assert rows() == (1, 1)


def test_other_keys_other_clients_and_no_key_make_jobs_of_their_own(client: FlaskClient) -> None:
    send(client)
    send(client, {"Idempotency-Key": "k-2"})
    send(client, {})
    send(client, {})
    client.environ_base["REMOTE_ADDR"] = "10.0.0.7"
    send(client)
    assert rows() == (5, 5)


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
def test_a_key_that_cannot_be_is_refused(client: FlaskClient, key: str) -> None:
    assert code_and_field(send(client, {"Idempotency-Key": key})) == (400, "bad_input", "Idempotency-Key")


def test_twins_at_the_same_time_are_one_job(client: FlaskClient) -> None:
    app, start = client.application, threading.Barrier(8)

    def twin(_: int) -> Any:
        start.wait()
        return send(app.test_client())

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(twin, range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.get_json()["id"] for answer in answers}) == 1
    assert rows() == (1, 1)


def test_a_twin_waits_only_so_long_for_the_first(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_database, "LIMITS", ("-c lock_timeout=200ms",))
    forget_connections()
    with transaction() as session:
        session.add(IdempotencyKey(client="127.0.0.1", key="k-1", digest="", job_id=uuid.uuid4()))
        session.flush()
        assert code_and_field(send(client)) == (409, "idempotency_key_in_flight", "Idempotency-Key")
    forget_connections()


def test_who_is_told_to_ask_again_is_told_when(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_database, "LIMITS", ("-c lock_timeout=200ms",))
    forget_connections()
    with transaction() as session:
        session.add(IdempotencyKey(client="127.0.0.1", key="k-1", digest="", job_id=uuid.uuid4()))
        session.flush()
        assert send(client).headers["Retry-After"] == "1"
    forget_connections()


def upload_calls(client: FlaskClient, content: bytes = b"{}", key: dict[str, str] = KEY) -> Any:
    data = {"file": (io.BytesIO(content), "calls.jsonl"), "purpose": "batch"}
    return client.post("/v1/files", data=data, headers=key)


def test_a_file_of_calls_sent_again_is_the_first_one(client: FlaskClient) -> None:
    first, again, other = upload_calls(client), upload_calls(client), upload_calls(client, b"[]")
    assert first.get_json() == again.get_json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status_code, other.get_json()["error"]["code"]) == (400, "idempotency_key_reused")
    assert len(client.get("/v1/files").get_json()["data"]) == 1
    assert b"".join(client.get(f"/v1/files/{first.get_json()['id']}/content").response) == b"{}"


def test_a_batch_sent_again_is_the_first_one(client: FlaskClient) -> None:
    file = upload_calls(client).get_json()["id"]

    def create(**metadata: str) -> Any:
        body = {"input_file_id": file, "endpoint": "/v1/images/generations", "completion_window": "24h"}
        return client.post("/v1/batches", json={**body, "metadata": metadata}, headers={"Idempotency-Key": "k-2"})

    first, again, other = create(a="1"), create(a="1"), create(a="2")
    assert first.get_json()["id"] == again.get_json()["id"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert other.get_json()["error"]["code"] == "idempotency_key_reused"


def test_the_form_sent_twice_makes_one_job_and_with_other_words_another(client: FlaskClient) -> None:
    page = client.get("/").text
    fields = dict(re.findall(r'name="(argus_token|idempotency_key)" value="([^"]+)"', page))
    first, again = (client.post("/", data={**fields, "prompts": "a fox"}) for _ in range(2))
    assert (first.status_code, first.location) == (303, again.location)
    assert client.post("/", data={**fields, "prompts": "a bear"}).location != first.location
    assert rows() == (2, 2)
    assert f'value="{fields["idempotency_key"]}"' not in client.get("/").text


def test_the_form_of_compare_sent_twice_makes_one_comparison(client: FlaskClient) -> None:
    page = client.get("/compare").text
    fields = dict(re.findall(r'name="(argus_token|idempotency_key)" value="([^"]+)"', page))
    first, again, other = (client.post("/compare", data={**fields, "prompt": p}) for p in ("a fox", "a fox", "a bear"))
    assert (first.status_code, first.location) == (303, again.location)
    assert other.location != first.location
    assert rows()[0] == 2


def test_every_address_that_makes_something_takes_a_key(client: FlaskClient) -> None:
    """Those that make nothing are listed: what is new has to be sorted."""
    document = client.get("/openapi.json").get_json()
    posts = {path: methods["post"] for path, methods in document["paths"].items() if "post" in methods}
    taking = {
        path
        for path, operation in posts.items()
        if any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ()))
    }
    assert taking == {
        *("/v1/jobs", "/v1/jobs/csv", "/v1/compare", "/v1/images/generations", "/v1/images/edits"),
        *("/v1/files", "/v1/batches", "/sdapi/v1/txt2img", "/sdapi/v1/img2img", "/v1/webhooks/secret"),
    }
    assert {path for path in set(posts) - taking if not path.startswith("/sdapi/")} == {
        "/v1/images/variations",  # always refused
        "/v1/inputs",  # the same file is kept once
        "/v1/batches/{batch_id}/cancel",  # the second time it changes nothing, nor do moves of requests
        *("/v1/requests/{move}", "/v1/jobs/{job_id}/{move}", "/v1/requests/reorder", "/v1/jobs/{job_id}/reorder"),
        *("/v1/webhooks/test", "/v1/webhooks/replay"),  # each time again, as asked
        "/v1/webhooks/events/{event_id}/replay",
    }


def test_every_form_of_a_page_that_makes_something_has_a_key(client: FlaskClient) -> None:
    """Those that make nothing are listed: what is new has to be sorted."""
    rules = client.application.url_map.iter_rules()
    forms = {rule.endpoint for rule in rules if rule.endpoint.startswith("web.") and "POST" in (rule.methods or ())}
    assert forms - set(FORMS) == {
        *("web.take_key", "web.sign_out", "web.preview", "web.possible_moves"),
        *("web.revoke", "web.move_requests"),  # the second time they change nothing
    }


def test_a_key_that_is_asked_for_twice_by_one_form_is_made_once(client: FlaskClient, keys: Held) -> None:
    admin = keys.bearer("admin")
    page = client.get("/keys", headers=admin).text
    fields = dict(re.findall(r'name="(argus_token|idempotency_key)" value="([^"]+)"', page))
    wanted = {**fields, "tenant": "ours", "name": "ci", "scopes": "read"}
    first, again = (client.post("/keys", data=wanted, headers=admin) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 409)
    assert 'class="secret"' in first.text
    assert "was made the first time" in again.text
    assert client.post("/keys", data={**wanted, "name": "cd"}, headers=admin).status_code == 200
    with transaction() as session:
        names = session.scalars(select(ApiKey.name).where(ApiKey.name.in_(("ci", "cd")))).all()
    assert sorted(names) == ["cd", "ci"]


def test_a_secret_that_is_asked_for_again_is_the_first_one_until_it_is_replaced(client: FlaskClient) -> None:
    def ask(key: str) -> Any:
        return client.post("/v1/webhooks/secret", headers={"Idempotency-Key": key})

    first, again = ask("k-1"), ask("k-1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.get_json() == again.get_json()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert ask("k-2").get_json() != first.get_json()
    assert code_and_field(ask("k-1")) == (409, "conflict", "Idempotency-Key")


def test_the_key_of_a_job_that_was_removed_makes_no_second_one(client: FlaskClient) -> None:
    job = send(client).get_json()
    assert client.delete(f"/v1/jobs/{job['id']}?purge=true").status_code == 204
    assert code_and_field(send(client))[:2] == (404, "not_found")
    assert rows() == (0, 0)


def test_keys_are_forgotten_after_a_day(client: FlaskClient) -> None:
    send(client)
    assert trim_history()["keys"] == 0
    with transaction() as session:
        session.execute(text("UPDATE idempotency_key SET created_at = now() - interval '25 hours'"))
    assert trim_history()["keys"] == 1
    assert "Idempotent-Replayed" not in send(client).headers


@pytest.mark.parametrize("path", ["/v1/images/generations", "/sdapi/v1/txt2img"])
def test_clients_of_other_apis_get_the_images_of_the_first_job(
    client: FlaskClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "POLL_S", 0.05)
    with configured(ARGUS_COMPAT_WAIT_S="0.01"):
        late = client.post(path, json={"prompt": "a fox"}, headers=KEY)
    assert (late.status_code, late.headers.get("X-Should-Retry")) == (504, None)
    job = client.get(f"/v1/jobs/{late.headers['X-Argus-Job']}").get_json()
    draw(job["requests"][0]["id"])
    again = client.post(path, json={"prompt": "a fox"}, headers=KEY)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.headers["X-Argus-Job"] == job["id"]
    assert rows() == (1, 1)


# --- a COMMIT whose answer is lost -----------------------------------------------------------------------------------


JOB = b"INSERT INTO job"


@pytest.fixture
def proxy(client: FlaskClient, services: Services) -> Iterator[Proxy]:
    """The app's connections go through it."""
    place = urlsplit(services.database_url)
    made = Proxy(place.port or 0)
    made.start()
    through = urlunsplit(place._replace(netloc=f"{place.username}:{place.password}@127.0.0.1:{made.port}"))
    with configured(ARGUS_DATABASE_URL=through):
        forget_connections()
        yield made
    forget_connections()
    made.stop()


def test_a_job_whose_commit_was_not_answered_is_accepted(client: FlaskClient, proxy: Proxy) -> None:
    proxy.cut = Cut(JOB, 1)
    answer = send(client, {})
    assert (answer.status_code, proxy.cut.done) == (202, 1)
    assert client.get(answer.headers["Location"]).get_json()["size"] == 1
    assert rows() == (1, 1)


def test_a_job_whose_commit_did_not_arrive_is_503_and_not_there(client: FlaskClient, proxy: Proxy) -> None:
    proxy.cut = Cut(JOB, 1, before=True)
    answer = send(client)
    assert (code_and_field(answer)[:2], proxy.cut.done) == ((503, "service_down"), 1)
    assert rows() == (0, 0)
    assert send(client).status_code == 202
    assert rows() == (1, 1)


def test_where_nobody_can_say_whether_it_was_accepted_the_answer_names_the_job(
    client: FlaskClient, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_database, "OUTCOME_S", 0.0)
    proxy.cut = Cut(JOB, 1)
    answer = send(client, {})
    assert code_and_field(answer)[:2] == (504, "outcome_unknown")
    with transaction() as session:
        assert str(session.execute(text("SELECT id FROM job")).scalar_one()) in answer.get_json()["error"]["message"]


def test_a_database_that_leaves_after_the_commit_does_not_undo_it(
    client: FlaskClient, proxy: Proxy, broker_away: None
) -> None:
    proxy.cut = Cut(b"UPDATE job", 1, before=True)  # which would write down that the broker is away
    answer = send(client, {})
    assert (answer.status_code, answer.get_json()["published"], proxy.cut.done) == (202, False, 1)
    with transaction() as session:
        assert session.scalar(select(func.count()).select_from(IdempotencyKey)) == 0
