"""A database as some hours of work leave it: jobs, requests in every state, images, scores, workers, a plan."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from PIL import Image as Picture
from PIL import ImageDraw
from sqlalchemy import insert, update

from core.database import transaction
from core.families import Family
from core.images import ImageStore
from core.tables import Assignment, Attempt, Image, Job, Plan, Request, Score, ServiceClass, State, Worker
from core.tally import fold

THINGS = ("fox", "apple", "lighthouse", "teapot", "sailing boat", "owl", "bicycle", "mushroom", "castle", "cactus")
PLACES = ("in the snow", "on a green table", "at night", "beside the sea", "in a meadow", "on a red background")
QUALITY = {"exact": 1.0, "ac": 0.985, "fs": 0.95, "sm": 0.93, "fc": 0.97}
TAKES = {"exact": 1.0, "ac": 0.75, "fs": 0.5}  # of the time that exact takes
END = ("state", "stored_at", "scored_at", "score")
WORKERS = ("cpu0@left", "cpu1@left", "cpu0@right")


class World:
    """Rows of one family, drawn by a seed; `images` of them have files."""

    def __init__(self, family: Family, seed: int = 0, pictures: int = 12) -> None:
        self.family, self.random = family, random.Random(seed)
        self.now = datetime.now(UTC)
        self.boot = uuid.uuid4()
        self.files = [self._file(number) for number in range(pictures)]

    def job(self, size: int, minutes_ago: float, title: str | None = None, open_share: float = 0.0) -> uuid.UUID:
        """A job with so many requests, of which a share is still open; returns its id."""
        created = self.now - timedelta(minutes=minutes_ago)
        job = uuid.uuid4()
        own = {"id": job, "family": self.family.id, "source": "web", "client": "127.0.0.1", "title": title}
        requests = [self._request(job, place, size, created, open_share) for place in range(size)]
        done = [request for request in requests if request["state"] == State.DONE]
        attempts = [self._attempt(request) for request in done]
        images = [self._image(request, attempt) for request, attempt in zip(done, attempts, strict=True)]
        scores = [self._score(request, image) for request, image in zip(done, images, strict=True)]
        ends = [{name: each[name] for name in ("id", *END)} for each in done]
        begun = {**dict.fromkeys(END), "state": State.RUNNING}
        running = [{**each, **begun} if each["state"] == State.DONE else each for each in requests]
        with transaction() as session:
            session.execute(insert(Job).values(**own, size=size, created_at=created, published_at=created))
            for table, rows in ((Request, running), (Attempt, attempts), (Image, images), (Score, scores)):
                if rows:
                    session.execute(insert(table), rows)
            if ends:
                session.execute(update(Request), ends)  # as work ends: the sums of reports are kept by that
        return job

    def cluster(self) -> None:
        """Workers with what they were told over two hours, and the plan in force."""
        models = list(self.family.offered)
        levels = list(self.family.levels)
        rates = {level: 40.0 / (1 + place) for place, level in enumerate(levels)}
        with transaction() as session:
            plan = Plan(
                family=self.family.id, policy="argus", status="optimal", in_force=True, seconds=0.04, reason="-"
            )
            plan.observed = {"rate": 12.0, "waiting": {"exact": 12}, "workers": {"cpu": 3}, "current": {}}
            workers = {"cpu": {models[0]: 2, models[-1]: 1}}
            plan.decided = {"plan": {"served": {"c0": rates}, "prices": {}, "shed": {}, "workers": workers}}
            session.add(plan)
            session.flush()
            for number, name in enumerate(WORKERS):
                for minutes in (110, 70, 25 - 5 * number):
                    held = [models[(number + minutes) % len(models)]]
                    at = self.now - timedelta(minutes=minutes)
                    told: dict[str, Any] = {"worker": name, "models": held, "queues": [], "reason": "planned"}
                    session.add(Assignment(epoch=plan.epoch, created_at=at, **told))
                about: dict[str, Any] = {"device": "cpu:0", "device_type": "cpu", "family": self.family.id, "stats": {}}
                state = "stopped" if number == 2 else "ready"
                session.add(Worker(name=name, boot=self.boot, models=held, queues=[], state=state, **about))

    def _request(self, job: uuid.UUID, place: int, size: int, created: datetime, open_share: float) -> dict[str, Any]:
        level = self.random.choices(self._levels(), weights=[4, 3, 2, 2, 1, 1, 1][: len(self._levels())])[0]
        accepted = created + timedelta(seconds=0.1 * place)
        taken = timedelta(seconds=self.random.uniform(0.4, 9))
        open_ = place >= size * (1 - open_share)
        failed = not open_ and self.random.random() < 0.02
        state = State.QUEUED if open_ else State.FAILED if failed else State.DONE
        quality = min(1.0, QUALITY.get(level.split("-")[0], 0.9) + self.random.gauss(0, 0.01))
        times = {"routed_at": accepted, "started_at": accepted + taken / 3, "denoised_at": accepted + taken * 0.9}
        drawn = {**times, "stored_at": accepted + taken, "scored_at": accepted + taken, "score": 0.7 + 0.2 * quality}
        blank = dict.fromkeys(drawn)
        return {
            **{"id": uuid.uuid4(), "job_id": job, "position": place, "family": self.family.id, "level": level},
            "prompt": f"a {self.random.choice(THINGS)} {self.random.choice(PLACES)}",
            **{"seed": self.random.randrange(2**31), "steps": self.family.defaults.steps, "guidance": 2.0},
            **{"width": self.family.defaults.width, "height": self.family.defaults.height, "state": state},
            **{"accepted_at": accepted, "deadline_at": accepted + timedelta(seconds=8), "predicted_quality": quality},
            **{"worker": WORKERS[place % 2], "attempts": 1, "service_class": ServiceClass.INTERACTIVE},
            "error_code": "generation_failed" if failed else None,
            **(drawn if state == State.DONE else blank),
        }

    def _levels(self) -> Sequence[str]:
        return list(self.family.levels)

    def _attempt(self, request: dict[str, Any]) -> dict[str, Any]:
        model = self.family.levels[request["level"]].model
        same = {"level": request["level"], "worker": request["worker"], "request_id": request["id"]}
        return {
            **{"id": uuid.uuid4(), "number": 1, "boot": self.boot, "model": model, "outcome": "done", **same},
            **{"started_at": request["started_at"], "ended_at": request["stored_at"], "steps_run": 12},
            **{"denoise_s": 0.5 * TAKES.get(request["level"].split("-")[0], 0.1), "batch_mean": 1.0},
        }

    def _image(self, request: dict[str, Any], attempt: dict[str, Any]) -> dict[str, Any]:
        stored = self.files[request["seed"] % len(self.files)]
        same = {name: request[name] for name in ("width", "height", "level")}
        return {
            **{"id": uuid.uuid4(), "request_id": request["id"], "attempt_id": attempt["id"], "key": stored.key, **same},
            **{"bytes": stored.bytes, "sha256": stored.sha256, "model": attempt["model"]},
            **{"family_version": self.family.version, "created_at": request["stored_at"]},
        }

    def _score(self, request: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
        at = request["stored_at"]
        return {"image_id": image["id"], "scorer": "clip 1", "value": request["score"], "created_at": at}

    def _file(self, number: int) -> Any:
        size = (self.family.defaults.width, self.family.defaults.height)
        hue = 30 * number
        picture = Picture.new("RGB", size, f"hsl({hue}, 45%, 80%)")
        pen, (width, height) = ImageDraw.Draw(picture), size
        pen.ellipse(
            (width * 0.25, height * 0.25, width * 0.75, height * 0.75), fill=f"hsl({(hue + 150) % 360}, 60%, 45%)"
        )
        pen.rectangle((0, height * 0.75, width, height), fill=f"hsl({(hue + 40) % 360}, 35%, 60%)")
        return ImageStore().put(uuid.uuid4(), picture, {"prompt": "?"})


def fill(family: Family, big: int = 0) -> World:
    """A small world, with one job of `big` requests where that is not 0."""
    world = World(family)
    world.cluster()
    for minutes in range(58, 0, -3):
        world.job(world.random.randrange(6, 40), minutes, f"team batch {minutes}" if minutes % 2 else None)
    world.job(24, 0.5, "under way", open_share=0.5)
    if big:
        world.job(big, 5, f"{big:,} prompts")
    fold()
    return world
