"""OpenAI's client on the app, while somebody draws."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from openai import OpenAI

from app import listening
from tests.app.compat.openai_client import openai_client
from tests.app.test_compat import worker


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "POLL_S", 0.02)


@pytest.fixture
def api(client: FlaskClient) -> Iterator[OpenAI]:
    """OpenAI's client, while somebody draws."""
    with worker():
        yield openai_client(client)
