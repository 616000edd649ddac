"""The web app on real services, with a family that needs no weights, and rows as a worker would leave them."""

from __future__ import annotations

import threading
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image as Picture
from sqlalchemy import delete, func, select, update

from app import bell
from app.keyring import KEYRING
from core import celery
from core.client_tables import ClientAction
from core.database import transaction
from core.families import Family, load_family
from core.images import ImageStore
from core.keys import USUAL, Scope, create_key
from core.settings import settings
from core.tables import Attempt, Image, Job, Request, Score, State
from core.tenant_tables import ApiKey, Tenant
from tests.conftest import Services, environment

FAMILY = """
id = "paper"
title = "A family on paper"
version = "1"
reference = "exact"
[defaults]
steps = 20
guidance = 2.0
width = 64
height = 64
[limits]
steps = [1, 50]
guidance = [0.0, 12.0]
sizes = [[64, 64], [128, 64]]
prompt_chars = 100
[models.large]
pipeline = "embedded-unet"
path = "nowhere/large"
[levels.exact]
strategy = "exact"
model = "large"
[levels.ac-5]
strategy = "ac"
model = "large"
skip = 5
[levels.fs-10]
strategy = "fs"
model = "large"
steps = 10
[scorer]
kind = "embedded-clip"
path = "nowhere/scorer"
"""


@pytest.fixture(scope="session")
def family_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("family") / "paper.toml"
    path.write_text(FAMILY)
    return path


@pytest.fixture
def family(family_file: Path) -> Iterator[Family]:
    """The family in force."""
    with configured(ARGUS_FAMILY=str(family_file)):
        yield load_family(str(family_file))


class configured:
    """Settings for a while: `with configured(ARGUS_MAX_PROMPTS="3")`."""

    def __init__(self, **values: str) -> None:
        self._environment = environment(values)

    def __enter__(self) -> None:
        self._environment.__enter__()
        settings.cache_clear()

    def __exit__(self, *error: Any) -> None:
        self._environment.__exit__(None, None, None)
        settings.cache_clear()


@pytest.fixture
def client(database: Services, family: Family) -> FlaskClient:
    """A client of the app, on emptied tables."""
    from app import create_app

    return create_app().test_client()


def rows() -> tuple[int, int]:
    """How many jobs and requests are stored."""
    with transaction() as session:
        count = [session.scalar(select(func.count()).select_from(table)) or 0 for table in (Job, Request)]
    return count[0], count[1]


def code_and_field(answer: Any) -> tuple[int, str, str | None]:
    """Status, code and field of an error answer, which has nothing else but a message that says something."""
    body = answer.get_json()
    assert answer.mimetype == "application/problem+json"
    assert set(body) == {"type", "title", "status", "detail", "instance", "code", "field", "help", "error"}
    assert body["error"] == {"code": body["code"], "message": body["detail"], "field": body["field"]}
    assert len(body["detail"]) > 10
    assert body["status"] == answer.status_code
    return answer.status_code, body["code"], body["field"]


@contextmanager
def meanwhile(work: Callable[[], object], every_s: float = 0.02) -> Iterator[None]:
    """A thread does this again and again, in place of a process that would."""
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(every_s):
            work()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture(autouse=True)
def _every_job_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by a message of its own, as if nobody had submitted just before."""
    monkeypatch.setattr(bell, "QUIET_S", 0.0)


@pytest.fixture
def broker_away(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The broker's address is one at which nothing listens."""
    monkeypatch.setattr(celery, "_app", None)
    with configured(ARGUS_BROKER_URL="redis://127.0.0.1:1/0"):
        yield


@pytest.fixture
def submit(client: FlaskClient) -> Callable[..., dict[str, Any]]:
    """Submit JSON and expect that it is accepted."""

    def send(**body: Any) -> dict[str, Any]:
        answer = client.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        return answer.get_json()

    return send


def draw(request_id: str, level: str = "exact", score: float | None = 0.8) -> str:
    """Leave a request as a worker and the scorer would: done, with attempt, image and score; returns the image's id."""
    image_id = uuid.uuid4()
    stored = ImageStore().put(image_id, Picture.new("RGB", (64, 64), "red"), {"prompt": "?"})
    with transaction() as session:
        now = session.execute(select(func.now())).scalar_one()
        request = session.get_one(Request, uuid.UUID(request_id))
        request.level, request.state, request.attempts, request.worker = level, State.DONE, 1, "cpu0@here"
        request.predicted_quality, request.note = 0.97, "exact is full; this prompt loses 3 % at most"
        request.routed_at = request.published_at = request.started_at = request.accepted_at
        request.denoised_at = request.accepted_at + timedelta(seconds=1)
        request.stored_at = now
        attempt = Attempt(
            request_id=request.id,
            number=1,
            worker="cpu0@here",
            boot=uuid.uuid4(),
            level=level,
            model="large",
            outcome="done",
            steps_run=15,
            steps_skipped=5,
            cache_similarity=0.9 if level.startswith("ac") else None,
        )
        session.add(attempt)
        session.flush()
        image = Image(
            id=image_id,
            request_id=request.id,
            attempt_id=attempt.id,
            key=stored.key,
            width=64,
            height=64,
            bytes=stored.bytes,
            sha256=stored.sha256,
            level=level,
            model="large",
            family_version="1",
        )
        session.add(image)
        session.flush()
        if score is not None:
            session.add(Score(image_id=image_id, scorer="paper-clip 1", value=score))
            request.scored_at = now
    return str(image_id)


def age(job_id: uuid.UUID, days: float) -> None:
    """Have all that was done of a job have been so many days ago."""
    at = func.now() - timedelta(days=days)
    with transaction() as session:
        session.execute(update(Job).where(Job.id == job_id).values(created_at=at))
        session.execute(update(Request).where(Request.job_id == job_id).values(accepted_at=at, stored_at=at))
        session.execute(update(ClientAction).where(ClientAction.job_id == job_id).values(at=at))


@dataclass(frozen=True)
class Held:
    """Keys of two tenants, by name: `submit`, `read`, `both`, `metrics`, `admin` of `ours`, and `foreign`."""

    texts: dict[str, str]

    def bearer(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.texts[name]}"}

    def basic(self, name: str) -> dict[str, str]:
        return {"Authorization": "Basic " + b64encode(f"anybody:{self.texts[name]}".encode()).decode()}


@pytest.fixture
def keys(client: FlaskClient) -> Iterator[Held]:
    """Keys, which are demanded from now on."""
    scopes = {"submit": (Scope.SUBMIT,), "read": (Scope.READ,), "both": USUAL, "metrics": (Scope.METRICS,)}
    scopes |= {"admin": (Scope.ADMIN,)}
    with transaction() as session:
        session.add_all([Tenant(name="ours"), Tenant(name="theirs")])
        session.flush()
        held = {name: str(create_key(session, "ours", name, granted)[1]) for name, granted in scopes.items()}
        held["foreign"] = str(create_key(session, "theirs", "foreign")[1])
    KEYRING.forget()
    yield Held(held)
    with transaction() as session:
        session.execute(delete(ApiKey))
    KEYRING.forget()
