"""One worker in this process: engine and PostgreSQL are real, its denoiser waits where the test tells it to."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from core.database import transaction
from core.families import load_family
from core.images import ImageStore
from core.step_curve import StepCurve
from core.tables import Attempt, Image, Job, Request, State
from core.workers import WorkerIdentity
from workers.admission import PolicyAdmission, first_come
from workers.assignment import Assigned, AssignmentFollower
from workers.engine.engine import Engine
from workers.generation import Generation
from workers.pipelines.embedded import Embedded

PATIENCE_S = 30.0
MEANS = {"exact": 1.0, "fs-4": 0.9, "sm-small": 0.8}


class Gated(Embedded):
    """The real adapter; its forward of that number waits until the test has looked."""

    stops_at = 0

    def load(self) -> Any:
        self.reached, self.go_on = threading.Event(), threading.Event()
        return super().load()

    def forward(self, *tensors: Any) -> Any:
        if self.forwards == self.stops_at:
            self.reached.set()
            self.go_on.wait(PATIENCE_S)
        return super().forward(*tensors)


class Pace(StepCurve):
    """A profile in force that says what a step takes, whatever was measured."""

    def __init__(self, step_s: float) -> None:
        super().__init__((1,), (step_s,))

    def observe(self, rows: int, seconds: float) -> StepCurve:
        return self


class FirstCome(PolicyAdmission):
    """The admission of a worker without a plan."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.moves = True

    def __call__(self, waiting: Any, levels: Any, running: Any = (), share: float = 1.0) -> Any:
        return first_come(waiting)


class Site:
    """One worker in this process, posted to the large model, and shorthands."""

    def __init__(self, family_file: Path) -> None:
        self.family = load_family(str(family_file))
        self.adapter: Gated
        self.start()

    def start(self, rows: int = 1) -> None:
        """A new worker, which takes so many requests at a time."""
        self.engine = Engine(self.family, max_batch=2, load=self._load, curves={"large": Pace(0.001)})
        self.engine.start()
        identity = WorkerIdentity("cpu0@way", uuid.uuid4())
        self.follower = AssignmentFollower(identity, self.family, self.engine)
        self.follower.apply(Assigned.of(self.family, ["large"]), None)
        admission = self.admission(FirstCome, rows)
        self.generation = Generation(identity, self.family, self.engine, self.follower, ImageStore(), admission, MEANS)
        self.follower.on_change = self.generation.follow_assignment

    def start_again(self, rows: int = 1) -> None:
        """The supervisor has started the worker's process anew."""
        self.generation.stop(0)
        self.start(rows)

    def admission(self, kind: type[FirstCome], rows: int = 1) -> FirstCome:
        return kind(self.family, "cpu0@way", "cpu", {"large": rows, "small": 1})

    def _load(self, model: Any) -> Gated:
        import torch

        self.adapter = Gated(model, "cpu", torch.float32)
        return self.adapter

    def submit(self, steps: int = 40, seconds: float = 40.0, **columns: Any) -> uuid.UUID:
        """A queued request, as the router leaves it."""
        request = Request(
            id=uuid.uuid4(),
            position=0,
            family="toy",
            seed=1,
            width=32,
            height=32,
            steps=steps,
            deadline_at=datetime.now(UTC) + timedelta(seconds=seconds),
            **{"prompt": "a red fox", "guidance": 2.0, "level": "exact", "state": State.QUEUED, **columns},
        )
        with transaction() as session:
            session.add(Job(family="toy", source="api", size=1, requests=[request]))
            session.flush()
            return request.id

    def begin(self, request: uuid.UUID, forwards: int = 5) -> threading.Thread:
        """Have the worker claim and run it; returns while its forward of that number waits."""
        self.wait_at(forwards)
        slot = threading.Thread(target=self.generation.generate, args=(request, 0))
        slot.start()
        assert self.adapter.reached.wait(PATIENCE_S)
        return slot

    def wait_at(self, forwards: int) -> None:
        """The forward of that number from now waits."""
        self.adapter.stops_at = self.adapter.forwards + forwards
        self.adapter.reached.clear()
        self.adapter.go_on.clear()

    def finish(self, slot: threading.Thread) -> None:
        self.adapter.go_on.set()
        slot.join(PATIENCE_S)
        assert not slot.is_alive()

    def row(self, request: uuid.UUID) -> Request:
        with transaction() as session:
            return session.get_one(Request, request)

    def attempts(self, request: uuid.UUID) -> list[Attempt]:
        with transaction() as session:
            mine = select(Attempt).where(Attempt.request_id == request).order_by(Attempt.number)
            return list(session.scalars(mine))

    def image(self, request: uuid.UUID) -> Image:
        with transaction() as session:
            return session.scalars(select(Image).where(Image.request_id == request)).one()
