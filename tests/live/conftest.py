"""The live system in small: real services, real Celery workers in processes of their own, a toy family."""

from __future__ import annotations

import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from core.families import Family, load_family
from core.supervisor import Child, Supervisor
from tests.conftest import empty_tables
from tests.live.toy import make_family, make_profile

PATIENCE_S = 180.0  # three processes test at once, two of them may start a stack
STALE_S = "4"


@dataclass
class Stack:
    """Processes on the test services, and shorthands for what tests do with them."""

    services: Any
    family_file: Path
    supervisor: Supervisor
    env: dict[str, str] = field(default_factory=dict)

    def start(self, name: str, *argv: str) -> None:
        """Start `python -m …`."""
        self.supervisor.start(Child(name, [sys.executable, "-m", *argv], env={**self.env, "OMP_NUM_THREADS": "1"}))

    def start_worker(self, name: str = "cpu0@test") -> None:
        """A generation worker, ready when this returns."""
        self.start(name, "workers.boot", "--device", "cpu:0", "--name", name)
        self.wait_for(lambda: self.worker_state(name) == "ready", f"{name} ready")

    def kill(self, name: str) -> None:
        """SIGKILL, as a crash would."""
        os.kill(self.supervisor.pids()[name], 9)

    def sweep_until_done(self, job: uuid.UUID) -> None:
        """Reconcile, as beat would have it done, until a job's images are there."""
        from scheduler.control.reconcile import reconcile

        def done() -> bool:
            reconcile(load_family(str(self.family_file)))
            return set(self.states(job)) == {"done"}

        self.wait_for(done, "all done", lambda: str(self.states(job)))

    def drop(self, job: uuid.UUID) -> None:
        """Cancel what is open of a job."""
        from sqlalchemy import update

        from core.database import transaction
        from core.tables import OPEN_STATES, Request, State

        with transaction() as session:
            mine = update(Request).where(Request.job_id == job, Request.state.in_(OPEN_STATES))
            session.execute(mine.values(state=State.CANCELLED))

    def end(self, name: str, how: signal.Signals) -> None:
        """End a process for good, and wait until it has."""
        run = self.supervisor._running.pop(name)
        run.process.send_signal(how)
        run.process.wait(30)

    def worker_state(self, name: str) -> str | None:
        from core.database import transaction
        from core.tables import Worker

        with transaction() as session:
            worker = session.get(Worker, name)
            return worker.state if worker else None

    def submit(self, count: int = 1, seconds: float = 60.0, **columns: object) -> uuid.UUID:
        """Commit a job of accepted requests, as the app does, without publishing it; returns its id."""
        from core.database import transaction
        from core.tables import Job, Request

        job = Job(id=uuid.uuid4(), family="toy", source="api", size=count)
        job.requests = [Request(**{**_plain(place, seconds), **columns}) for place in range(count)]
        with transaction() as session:
            session.add(job)
        return job.id

    def publish(self, job: uuid.UUID) -> None:
        from core.celery import publish
        from core.messages import ROUTER_QUEUE, Route

        publish(ROUTER_QUEUE, [Route(str(job))])

    def states(self, job: uuid.UUID) -> list[str]:
        return [request.state.value for request in self.requests(job)]

    def attempts(self, job: uuid.UUID) -> list:
        """Attempts at a job's requests, in order."""
        from core.tables import Attempt

        ids = [request.id for request in self.requests(job)]
        return sorted(self.rows(Attempt, Attempt.request_id.in_(ids)), key=lambda a: (a.request_id, a.number))

    def images(self, job: uuid.UUID) -> list:
        from core.tables import Image

        return self.rows(Image, Image.request_id.in_([request.id for request in self.requests(job)]))

    def tick(self, until: Callable[[], bool], what: str) -> None:
        """Tick, as beat would, until something is so."""
        from core.celery import publish
        from core.messages import SCHEDULER_QUEUE, Tick

        def ticked() -> bool:
            publish(SCHEDULER_QUEUE, [Tick()])
            time.sleep(0.5)
            return until()

        self.wait_for(ticked, what)

    def requests(self, job: uuid.UUID) -> list:
        from sqlalchemy import select

        from core.database import transaction
        from core.tables import Request

        with transaction() as session:
            return list(session.scalars(select(Request).where(Request.job_id == job).order_by(Request.position)))

    def rows(self, table: type, *where: object) -> list:
        from sqlalchemy import select

        from core.database import transaction

        with transaction() as session:
            return list(session.scalars(select(table).where(*where)))

    def wait_done(self, job: uuid.UUID) -> None:
        self.wait_for(lambda: set(self.states(job)) == {"done"}, "all done", lambda: str(self.states(job)))

    def wait_for(self, condition: Callable[[], bool], what: str, say: Callable[[], str] = str) -> None:
        """Poll until true; fails with the ends of the logs."""
        end = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > end:
                logs = "\n".join(f"--- {name}\n{self.supervisor.tail(name)}" for name in self.supervisor.pids())
                pytest.fail(f"waited in vain for {what}: {say()}\n{logs}")
            time.sleep(0.1)


def _plain(place: int, seconds: float) -> dict[str, object]:
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    return {
        "position": place,
        "family": "toy",
        "prompt": f"{place + 1} red foxes",
        "seed": place,
        "width": 32,
        "height": 32,
        "steps": 8,
        "guidance": 2.0,
        "deadline_at": deadline,
    }


@pytest.fixture(scope="session")
def toy(services: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The toy family in force for this process and those it starts."""
    from core.settings import settings

    root = tmp_path_factory.mktemp("toy")
    path = make_family(root)
    make_profile(services.home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARGUS_FAMILY", str(path))
        patch.setenv("ARGUS_STALE_S", STALE_S)
        settings.cache_clear()
        yield path
    settings.cache_clear()


@pytest.fixture
def family(database: Any, toy: Path) -> Family:
    """The toy family, on emptied tables."""
    return load_family(str(toy))


@pytest.fixture(scope="module")
def stack(services: Any, toy: Path) -> Iterator[Stack]:
    """Emptied tables, a broker that may be killed, scheduler, quality worker and one generation worker.

    Shared by the tests of a module: starting torch takes its time.
    """
    from core import celery
    from core.services import valkey
    from core.settings import settings

    empty_tables(services)
    home = services.home / "live"
    supervisor = Supervisor(home / "logs")
    broker, url = valkey(home)
    env = {**services.environ(), "ARGUS_FAMILY": str(toy), "ARGUS_STALE_S": STALE_S, "ARGUS_BROKER_URL": url}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARGUS_BROKER_URL", url)
        patch.setattr(celery, "_app", None)
        settings.cache_clear()
        running = Stack(services, toy, supervisor, env)
        try:
            supervisor.start(broker)
            running.start("scheduler", "scheduler.boot")
            running.start("quality", "workers.scoring.worker")
            running.start_worker()
            yield running
        finally:
            supervisor.stop()
    settings.cache_clear()


@pytest.fixture
def site(database: Any, toy: Path) -> Iterator[Any]:
    """A worker in this process (`tests.live.site.Site`)."""
    from tests.live.site import Site

    made = Site(toy)
    yield made
    made.adapter.go_on.set()
    made.generation.stop(0)
