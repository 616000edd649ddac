"""`argus keys` and `argus tenants`: made, shown once, listed without secrets, taken away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import delete

from app.keyring import KEYRING
from cli.main import argus
from core.client import ArgusClient
from core.database import transaction
from core.errors import NotFound, Unauthorized
from core.tenant_tables import ApiKey, Tenant
from tests.conftest import Services


@pytest.fixture(autouse=True)
def no_keys(database: Services) -> Iterator[None]:
    """The default tenant alone, as a new database has it."""
    with transaction() as session:
        session.add(Tenant(name="default"))
    yield
    with transaction() as session:
        session.execute(delete(ApiKey))
    KEYRING.forget()


def run(*words: str) -> Any:
    done = CliRunner().invoke(argus, words)
    assert done.exit_code == 0, done.output
    return done


def told(*words: str) -> Any:
    return json.loads(run(*words, "--json", "-").stdout)


def test_a_key_opens_what_its_tenant_owns_until_it_is_revoked(site: str) -> None:
    made = told("keys", "create", "--name", "laptop", "--expires", "90d")
    KEYRING.forget()
    with pytest.raises(Unauthorized):
        ArgusClient(site).get("/v1/jobs")
    client = ArgusClient(site, made["key"])
    job = client.submit({"prompt": "a fox"})
    assert client.job(job["id"])["size"] == 1
    told("tenants", "create", "others")
    other = ArgusClient(site, told("keys", "create", "others")["key"])
    with pytest.raises(NotFound):
        other.job(job["id"])
    assert told("keys", "revoke", made["id"])["state"] == "revoked"
    KEYRING.forget()
    with pytest.raises(Unauthorized):
        client.get("/v1/jobs")


def test_the_secret_is_shown_once_and_alone_on_standard_output() -> None:
    made = run("keys", "create")
    key = made.stdout.strip()
    assert key.startswith("argus_")
    assert "Keep it now" in made.stderr
    secret = key.split("_", 2)[2]
    assert secret not in run("keys", "list").output
    assert secret not in json.dumps(told("keys", "list"))


def test_a_key_is_rotated_with_both_good_for_a_while() -> None:
    old = told("keys", "create", "--scopes", "read,metrics")
    new = told("keys", "rotate", old["id"], "--grace", "1h")
    assert new["scopes"] == ["read", "metrics"]
    listed = {key["id"]: key for key in told("keys", "list")}
    assert {listed[key["id"]]["state"] for key in (old, new)} == {"good"}
    assert listed[old["id"]]["expires_at"] is not None


def test_tenants_have_weights_and_bounds_that_can_be_taken_away() -> None:
    told("tenants", "create", "team", "--weight", "2", "--daily-images", "1000", "--rate", "60/minute")
    assert told("tenants", "set", "team", "--daily-images", "none", "--retention-days", "30") == [
        {"name": "team", "weight": 2.0, "daily_images": None, "rate": "60/minute", "retention_days": 30.0}
    ]
    assert [tenant["name"] for tenant in told("tenants", "list")] == ["default", "team"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("keys", "create", "nobody"), "argus tenants create nobody"),
        (("keys", "create", "--scopes", "read,all"), "'all' is no scope"),
        (("keys", "revoke", "abc"), "argus keys list"),
        (("keys", "create", "--expires", "soon"), "no duration"),
        (("tenants", "create", "Team A"), "a letter or digit"),
        (("tenants", "create", "argus"), "take another name"),
        (("tenants", "create", "default"), "argus tenants set default"),
        (("tenants", "set", "nobody", "--weight", "2"), "no tenant"),
        (("tenants", "set", "default", "--rate", "often"), "no rate"),
        (("tenants", "set", "default", "--weight", "0"), "0.001 to 1000"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "",
)
def test_what_cannot_be_is_told_with_what_to_do(words: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(argus, words)
    assert done.exit_code in (1, 2)
    assert said in done.output
