"""What pages are tested with beside the app."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from playwright.sync_api import Browser

from app.keyring import KEYRING
from core.database import transaction
from core.families import load_family
from core.settings import settings
from core.tables import Worker
from tests.app.conftest import configured
from tests.app.web.browser import browser_of_this_machine
from tests.app.web.filled import fill
from tests.app.web_process import Web, web_process
from tests.conftest import Services, empty_tables

PAGE = {"Accept": "text/html"}
Submit = Callable[..., dict[str, Any]]


def token(client: FlaskClient) -> str:
    """The token that a form of this browser carries."""
    found = re.search(r'name="argus_token" value="([^"]+)"', client.get("/", headers=PAGE).text)
    assert found
    return found[1]


def words(html: str) -> str:
    """What a page says, without its marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).strip()


def add_worker(name: str = "cpu0@here", state: str = "ready", models: tuple[str, ...] = ("large",)) -> None:
    """A worker that lives, of the family in force."""
    with transaction() as session:
        session.merge(
            Worker(
                name=name,
                boot=uuid.uuid4(),
                device="cpu:0",
                device_type="cpu",
                family="paper",
                state=state,
                models=list(models),
                queues=["t2i.paper.exact"],
                stats={},
                seen_at=datetime.now(UTC),
            )
        )


PROFILE = """{"family": "paper", "device": "cpu", "measured": "today", "levels": [
  {"id": "exact", "strategy": "exact", "model": "large", "requests_per_minute": 30, "latency_s": 4.0, "quality": 1.0},
  {"id": "ac-5", "strategy": "ac", "model": "large", "requests_per_minute": 40, "latency_s": 3.0, "quality": 0.98},
  {"id": "fs-10", "strategy": "fs", "model": "large", "requests_per_minute": 60, "latency_s": 2.0, "quality": 0.9}
]}"""


@pytest.fixture
def measured(client: FlaskClient) -> Iterator[None]:
    """A worker that lives, on a device that was measured."""
    path = settings().home / "profiles" / "paper" / "cpu.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PROFILE)
    add_worker()
    yield
    path.unlink()


@pytest.fixture(scope="module")
def site(services: Services, family_file: Path) -> Iterator[Web]:
    """A web process over a filled database, whose workers were measured and stay ready."""
    empty_tables(services)
    KEYRING.forget()
    with configured(ARGUS_FAMILY=str(family_file), ARGUS_STALE_S="600"):
        fill(load_family(str(family_file)), big=600)
        profile = settings().home / "profiles" / "paper" / "cpu.json"
        profile.parent.mkdir(parents=True, exist_ok=True)
        profile.write_text(PROFILE)
        with web_process(services, family_file, ARGUS_STALE_S="600") as running:
            yield running
        profile.unlink()
    empty_tables(services)
    KEYRING.forget()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser of this machine."""
    with browser_of_this_machine() as running:
        yield running
