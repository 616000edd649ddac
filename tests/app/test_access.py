"""Keys: who may call what, and whose rows are whose."""

from __future__ import annotations

import uuid
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from app import create_app
from app.access import needed, owned
from app.keyring import KEYRING
from core.database import transaction
from core.errors import BadInput, BadSettings, NotFound
from core.keys import create_key, find_key, read_key, revoke_key, rotate_key
from core.settings import load_settings
from core.tables import Image, Job, Plan, Request
from core.tenant_tables import DEFAULT, ApiKey
from tests.app.conftest import Held, code_and_field, configured, draw


def submitted(client: FlaskClient, headers: dict[str, str]) -> dict[str, Any]:
    answer = client.post("/v1/jobs", json={"prompt": "a fox"}, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.get_json()


def test_every_route_says_what_its_caller_needs() -> None:
    with configured():
        app = create_app()
    assert [rule.rule for rule in app.url_map.iter_rules() if needed(app, rule.endpoint) is None] == []


def test_a_route_that_does_not_say_is_answered_to_nobody(client: FlaskClient, keys: Held) -> None:
    app = client.application
    app._got_first_request = False  # else Flask takes no more routes
    app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    assert client.get("/forgotten", headers=keys.bearer("admin")).status_code == 403


# --- keys ------------------------------------------------------------------------------------------------------------


def test_nobody_needs_a_key_until_there_is_one(client: FlaskClient) -> None:
    KEYRING.forget()
    job = submitted(client, {})
    with transaction() as session:
        assert session.get_one(Job, uuid.UUID(job["id"])).tenant == DEFAULT
        assert session.scalar(select(Request.tenant)) == DEFAULT


def test_the_setting_demands_keys_where_there_is_none(client: FlaskClient) -> None:
    with configured(ARGUS_KEYS="yes"):
        assert client.get("/v1/jobs").status_code == 401


def test_who_revokes_the_last_key_opens_nothing(client: FlaskClient, keys: Held) -> None:
    with transaction() as session:
        session.execute(update(ApiKey).values(revoked_at=func.now()))
    KEYRING.forget()
    assert client.get("/v1/jobs", headers=keys.bearer("both")).status_code == 401
    assert client.get("/v1/jobs").status_code == 401


def test_a_key_is_taken_as_bearer_and_as_password(client: FlaskClient, keys: Held) -> None:
    for headers in (keys.bearer("both"), keys.basic("both")):
        assert client.get("/v1/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize("change", ["secret", "id", "prefix", "empty", "long", "letters", "nul", "bell"])
def test_what_is_not_quite_a_key_is_none(client: FlaskClient, keys: Held, change: str) -> None:
    prefix, id, secret = keys.texts["both"].split("_", 2)
    sent = {
        "secret": f"{prefix}_{id}_{secret[:-2]}xx",
        "id": f"{prefix}_{id[::-1]}_{secret}",
        "prefix": f"other_{id}_{secret}",
        "empty": "",
        "long": f"{prefix}_{id}_{secret * 100}",
        "letters": f"{prefix}_{id}_ä",
        "nul": f"{prefix}_{id}\0_{secret}",
        "bell": f"{prefix}_{id}\a_{secret}",
    }[change]
    for header in (f"Bearer {sent}", f"Basic {b64encode(f'anybody:{sent}'.encode()).decode()}"):
        answer = client.get("/v1/jobs", headers={"Authorization": header})
        assert code_and_field(answer) == (401, "unauthorized", None)
        assert "not known here" in answer.get_json()["detail"]


def test_a_revoked_key_opens_nothing_within_seconds(client: FlaskClient, keys: Held) -> None:
    assert client.get("/v1/jobs", headers=keys.bearer("read")).status_code == 200
    with transaction() as session:
        revoke_key(session, find_key(session, keys.texts["read"]))
    KEYRING.forget()  # as it does by itself after KEPT_S
    assert client.get("/v1/jobs", headers=keys.bearer("read")).status_code == 401
    assert client.get("/v1/jobs", headers=keys.bearer("both")).status_code == 200


def test_a_key_that_has_expired_is_refused_at_once(client: FlaskClient, keys: Held) -> None:
    with transaction() as session:
        soon = datetime.now(UTC) + timedelta(seconds=60)
        _, good = create_key(session, "ours", "for a minute", expires_at=soon)
        _, over = create_key(session, "ours", "over", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert client.get("/v1/jobs", headers={"Authorization": f"Bearer {good}"}).status_code == 200
    assert client.get("/v1/jobs", headers={"Authorization": f"Bearer {over}"}).status_code == 401


def test_a_call_costs_no_query_for_its_key(client: FlaskClient, keys: Held) -> None:
    known = KEYRING.find(read_key(keys.texts["read"]).id)  # type: ignore[union-attr]
    assert known is KEYRING.find(known.id)  # type: ignore[union-attr]


def test_when_a_key_was_used_last_is_written_down(client: FlaskClient, keys: Held) -> None:
    client.get("/v1/jobs", headers=keys.bearer("read"))
    with transaction() as session:
        used = {key.name: key.used_at is not None for key in session.scalars(select(ApiKey))}
    assert (used["read"], used["both"]) == (True, False)


def test_a_key_is_rotated_at_once_or_with_a_time_for_both(client: FlaskClient, keys: Held) -> None:
    with transaction() as session:
        later = datetime.now(UTC) + timedelta(hours=1)
        old, first = find_key(session, keys.texts["read"]), keys.texts["read"]
        new, second = rotate_key(session, old, later)
        assert (new.tenant, new.name, new.scopes, old.expires_at) == (old.tenant, old.name, old.scopes, later)
        rotate_key(session, new)
    KEYRING.forget()
    statuses = [
        client.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"}).status_code for key in (first, second)
    ]
    assert statuses == [200, 401]
    with transaction() as session, pytest.raises(BadInput, match="revoked"):
        rotate_key(session, find_key(session, str(second)))


def test_the_secret_is_not_in_the_database(keys: Held) -> None:
    with transaction() as session:
        rows = session.scalars(select(ApiKey)).all()
    kept = " ".join(f"{row.id} {row.hash} {row.name}" for row in rows)
    assert not any(text.split("_", 2)[2] in kept for text in keys.texts.values())


def test_keys_belong_to_tenants_that_there_are(client: FlaskClient) -> None:
    with transaction() as session, pytest.raises(NotFound, match="argus tenants create"):
        create_key(session, "nobody", "x")


@pytest.mark.parametrize("value", ["ARGUS_KEYS", "ARGUS_OPEN"])
def test_an_address_that_others_reach_needs_keys_or_consent(value: str) -> None:
    with pytest.raises(BadSettings, match="ARGUS_KEYS=yes"):
        load_settings({"ARGUS_HOST": "0.0.0.0"})
    assert load_settings({"ARGUS_HOST": "0.0.0.0", value: "yes"}).host == "0.0.0.0"


# --- scopes and refusals ---------------------------------------------------------------------------------------------


def test_a_key_does_what_its_scopes_say(client: FlaskClient, keys: Held) -> None:
    job = submitted(client, keys.bearer("submit"))
    assert client.get(job["links"]["self"], headers=keys.bearer("submit")).status_code == 403
    assert client.get(job["links"]["self"], headers=keys.bearer("read")).status_code == 200
    refused = client.post("/v1/jobs", json={"prompt": "a"}, headers=keys.bearer("read"))
    assert code_and_field(refused) == (403, "missing_scope", None)
    assert "this address needs submit" in refused.get_json()["detail"]
    assert client.delete(job["links"]["self"], headers=keys.bearer("read")).status_code == 403
    assert client.delete(job["links"]["self"], headers=keys.bearer("submit")).status_code == 200
    assert client.get("/metrics", headers=keys.bearer("both")).status_code == 403
    assert client.get("/metrics", headers=keys.bearer("metrics")).status_code == 200


def test_each_api_refuses_in_its_own_words(client: FlaskClient, keys: Held) -> None:
    native = client.get("/v1/jobs")
    assert (native.status_code, native.mimetype) == (401, "application/problem+json")
    assert native.headers["WWW-Authenticate"] == 'Bearer realm="Argus"'
    openai = client.post("/v1/images/generations", json={"prompt": "a"})
    assert (openai.status_code, openai.get_json()["error"]["type"]) == (401, "authentication_error")
    a1111 = client.post("/sdapi/v1/txt2img", json={"prompt": "a"})
    assert (a1111.status_code, a1111.get_json()["error"]) == (401, "unauthorized")
    assert a1111.headers["WWW-Authenticate"] == 'Basic realm="Argus"'
    assert client.get("/login_check", headers=keys.basic("submit")).status_code == 200
    assert client.get("/login_check").status_code == 401


def test_what_is_not_there_is_told_to_everybody(client: FlaskClient, keys: Held) -> None:
    assert client.get("/v1/nothing").status_code == 404


@pytest.mark.parametrize("address", ["/healthz", "/readyz", "/docs", "/openapi.json", "/internal/ping", "/sign-in"])
def test_some_addresses_are_everybody_s(client: FlaskClient, keys: Held, address: str) -> None:
    assert client.get(address).status_code in (200, 503)


# --- owners ----------------------------------------------------------------------------------------------------------


def test_what_belongs_to_another_tenant_is_not_there(client: FlaskClient, keys: Held) -> None:
    job = submitted(client, keys.bearer("both"))
    request = job["requests"][0]["id"]
    image = draw(request)
    addresses = [f"/v1/jobs/{job['id']}{more}" for more in ("", "/events", "/results.csv", "/results.jsonl")]
    addresses += [f"/v1/requests/{request}", f"/v1/images/{image}", f"/v1/images/{image}.jpeg"]
    addresses += [f"/jobs/{job['id']}", f"/jobs/{job['id']}/head", f"/requests/{request}", f"/requests/{request}/tile"]
    for address in addresses:
        statuses = [client.get(address, headers=keys.bearer(who)).status_code for who in ("foreign", "read", "admin")]
        assert statuses == [404, 200, 200], address
    assert client.delete(f"/v1/jobs/{job['id']}?purge=true", headers=keys.bearer("foreign")).status_code == 404
    listed = {who: client.get("/v1/jobs", headers=keys.bearer(who)).get_json() for who in ("foreign", "read", "admin")}
    assert {who: (page["total"], len(page["jobs"])) for who, page in listed.items()} == {
        "foreign": (0, 0), "read": (1, 1), "admin": (1, 1)
    }  # fmt: skip
    seen = {who: client.get("/gallery", headers=keys.bearer(who)).text for who in ("foreign", "read")}
    assert [image in text for text in seen.values()] == [False, True]
    reports = {who: client.get("/v1/report", headers=keys.bearer(who)).get_json() for who in ("foreign", "read")}
    assert [report["total"]["requests"] for report in reports.values()] == [0, 1]
    assert [len(report["minutes"]) for report in reports.values()] == [0, 1]


def test_files_and_batches_are_their_tenant_s(client: FlaskClient, keys: Held) -> None:
    import io
    import json

    call = {"custom_id": "a", "method": "POST", "url": "/v1/images/generations", "body": {"prompt": "a fox"}}
    sent: dict[str, Any] = {"file": (io.BytesIO(json.dumps(call).encode()), "calls.jsonl"), "purpose": "batch"}
    file = client.post("/v1/files", data=sent, headers=keys.bearer("both")).get_json()["id"]
    wanted = {"input_file_id": file, "endpoint": "/v1/images/generations", "completion_window": "24h"}
    assert client.post("/v1/batches", json=wanted, headers=keys.bearer("foreign")).status_code == 404
    batch = client.post("/v1/batches", json=wanted, headers=keys.bearer("both")).get_json()["id"]
    for address in (f"/v1/files/{file}", f"/v1/files/{file}/content", f"/v1/batches/{batch}"):
        statuses = [client.get(address, headers=keys.bearer(who)).status_code for who in ("foreign", "read")]
        assert statuses == [404, 200], address
    assert client.post(f"/v1/batches/{batch}/cancel", headers=keys.bearer("foreign")).status_code == 404
    assert client.delete(f"/v1/files/{file}", headers=keys.bearer("foreign")).status_code == 404
    for address in ("/v1/files", "/v1/batches"):
        found = [len(client.get(address, headers=keys.bearer(who)).get_json()["data"]) for who in ("foreign", "read")]
        assert found == [0, 1], address


def test_a_key_s_idempotency_keys_are_its_tenant_s(client: FlaskClient, keys: Held) -> None:
    def send(who: str, prompt: str) -> Any:
        headers = {**keys.bearer(who), "Idempotency-Key": "once"}
        return client.post("/v1/jobs", json={"prompt": prompt}, headers=headers)

    first = send("both", "a fox").get_json()["id"]
    assert send("submit", "a fox").get_json()["id"] == first
    other = send("foreign", "an owl")
    assert other.status_code == 202
    assert other.get_json()["id"] != first


def test_owned_knows_every_statement_or_says_so(client: FlaskClient, keys: Held) -> None:
    with client.application.test_request_context(headers=keys.bearer("both")):
        for statement in (select(Job), select(Request.id), select(func.count()).select_from(Job).join(Request),
                          update(Request).values(note="x"), select(Image)):  # fmt: skip
            assert "tenant" in str(owned(statement).whereclause)
        with pytest.raises(TypeError, match="has an owner"):
            owned(select(Plan))
    with client.application.test_request_context(headers=keys.bearer("admin")):
        assert owned(select(Job)).whereclause is None


# --- pages -----------------------------------------------------------------------------------------------------------

PAGE = {"Accept": "text/html"}


def sign_in(client: FlaskClient, key: str, then: str = "") -> Any:
    page = client.get("/sign-in", query_string={"next": then} if then else None)
    token = page.text.split('name="argus_token" value="')[1].split('"')[0]
    return client.post("/sign-in", data={"argus_token": token, "key": key, "next": then})


def test_a_page_leads_to_the_form_that_asks_for_a_key_and_back(client: FlaskClient, keys: Held) -> None:
    answer = client.get("/gallery?level=exact", headers=PAGE)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?next=/gallery?level%3Dexact")
    entered = sign_in(client, keys.texts["read"], "/gallery?level=exact")
    assert (entered.status_code, entered.headers["Location"]) == (303, "/gallery?level=exact")
    cookie = next(line for line in entered.headers.getlist("Set-Cookie") if line.startswith("argus_session"))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert client.get("/gallery", headers=PAGE).status_code == 200
    assert client.get("/v1/report").status_code == 200


def test_a_part_of_a_page_leads_the_whole_page_there(client: FlaskClient, keys: Held) -> None:
    answer = client.get("/recent", headers={"HX-Request": "true", "Accept": "*/*"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/sign-in")


@pytest.mark.parametrize("next", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)"])
def test_nobody_is_led_to_another_site(client: FlaskClient, keys: Held, next: str) -> None:
    assert sign_in(client, keys.texts["read"], next).headers["Location"] == "/"


def test_a_wrong_key_signs_nobody_in(client: FlaskClient, keys: Held) -> None:
    answer = sign_in(client, "argus_wrong_key")
    assert (answer.status_code, "not known here" in answer.text) == (401, True)
    assert client.get("/gallery", headers=PAGE).status_code == 303


def test_a_session_ends_with_its_key_and_with_signing_out(client: FlaskClient, keys: Held) -> None:
    sign_in(client, keys.texts["read"])
    page = client.get("/gallery", headers=PAGE).text
    token = page.split('name="argus_token" value="')[1].split('"')[0]
    client.post("/sign-out", data={"argus_token": token})
    assert client.get("/gallery", headers=PAGE).status_code == 303
    sign_in(client, keys.texts["read"])
    assert client.get("/gallery", headers=PAGE).status_code == 200
    with transaction() as session:
        revoke_key(session, find_key(session, keys.texts["read"]))
    KEYRING.forget()
    assert client.get("/gallery", headers=PAGE).status_code == 303


def test_a_cookie_that_was_not_signed_here_is_none(client: FlaskClient, keys: Held) -> None:
    client.set_cookie("argus_session", "eyJrZXkiOiJhZG1pbiJ9.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb")
    assert client.get("/gallery", headers=PAGE).status_code == 303


def test_pages_of_other_sites_call_without_the_session(client: FlaskClient, keys: Held) -> None:
    sign_in(client, keys.texts["both"])
    with configured(ARGUS_CORS_ORIGINS="http://localhost:3000"):
        answer = client.get("/v1/jobs", headers={"Origin": "http://localhost:3000"})
    assert answer.status_code == 401
    assert client.get("/v1/jobs").status_code == 200
