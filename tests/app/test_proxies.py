"""Behind a proxy: whose word about the client counts."""

from __future__ import annotations

from typing import Any

import pytest
from flask import request
from flask.testing import FlaskClient

from app import create_app
from app.clients import client_of
from core.errors import BadSettings
from core.settings import load_settings
from tests.app.conftest import configured
from tests.conftest import Services

TRUSTED = "127.0.0.1, 10.1.0.0/16, fd00::/8"


def seen(peer: str, trusted: str = TRUSTED, **headers: str) -> tuple[str, str, str]:
    """Client, scheme and name of a request, as the app sees them."""
    found: list[tuple[str, str, str]] = []
    with configured(ARGUS_TRUSTED_PROXIES=trusted):
        app = create_app()
    app.before_request(lambda: found.append((client_of(), request.scheme, request.host)))
    named = {f"X-Forwarded-{name.capitalize()}": value for name, value in headers.items()}
    app.test_client().get("/healthz", headers=named, environ_base={"REMOTE_ADDR": peer})
    return found[0]


@pytest.mark.parametrize(
    ("peer", "told", "client"),
    [
        ("127.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "203.0.113.9:4711", "203.0.113.9"),
        ("fd00::1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("::ffff:10.1.2.3", "::ffff:203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "203.0.113.9, 10.1.9.9", "203.0.113.9"),
        ("10.1.2.3", "192.0.2.1, 203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "10.1.7.7, 10.1.9.9", "10.1.7.7"),
        ("10.1.2.3", "203.0.113.9, nonsense, 10.1.9.9", "10.1.9.9"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("203.0.113.1", "198.51.100.5", "203.0.113.1"),
    ],
    ids=["one", "port", "IPv6", "mapped", "two", "claimed", "only ours", "nonsense", "none", "not trusted"],
)
def test_the_client_is_who_spoke_to_the_first_proxy_of_ours(
    services: Services, family: Any, peer: str, told: str, client: str
) -> None:
    assert seen(peer, **{"for": told})[0] == client


def test_scheme_and_name_are_believed_from_proxies_only(services: Services, family: Any) -> None:
    assert seen("10.1.2.3", proto="https", host="evil, argus.lan")[1:] == ("https", "argus.lan")
    assert seen("10.1.2.3", proto="gopher")[1:] == ("http", "localhost")
    assert seen("203.0.113.1", proto="https", host="argus.lan")[1:] == ("http", "localhost")
    assert seen("127.0.0.1", trusted="", proto="https", host="argus.lan")[1:] == ("http", "localhost")


def test_a_name_that_a_proxy_passes_on_must_be_known_too(client: FlaskClient) -> None:
    with configured(ARGUS_TRUSTED_PROXIES="127.0.0.1"):
        behind = create_app().test_client()
    assert behind.get("/v1/levels", headers={"X-Forwarded-Host": "evil.example"}).status_code == 403


def test_the_rate_is_limited_by_client_not_by_proxy(database: Services, family: Any) -> None:
    with configured(ARGUS_TRUSTED_PROXIES="127.0.0.1", ARGUS_RATE_LIMIT="1/hour"):
        behind = create_app().test_client()

        def send(client: str) -> int:
            return behind.post("/v1/jobs", json={"prompt": "a fox"}, headers={"X-Forwarded-For": client}).status_code

        assert [send("203.0.113.1"), send("203.0.113.2"), send("203.0.113.1")] == [202, 202, 429]


@pytest.mark.parametrize("value", ["proxy.lan", "10.0.0.0/99", "10.0.0.7/8"])
def test_a_proxy_that_is_no_address_stops_the_start(value: str) -> None:
    with pytest.raises(BadSettings, match="ARGUS_TRUSTED_PROXIES"):
        load_settings({"ARGUS_TRUSTED_PROXIES": value})
