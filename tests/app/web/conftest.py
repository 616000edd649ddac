"""What pages are tested with beside the app."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from core.database import transaction
from core.settings import settings
from core.tables import Worker

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
