"""What is read for the verdict, from a real database and a folder."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.chaos.evidence import read, stored
from core.database import transaction
from core.tables import Assignment, Attempt, Image, Job, Plan, Request, State, Worker

QUEUE = "t2i.embedded.exact"


def committed(title: str) -> Request:
    """A finished request of a job with this title: lost once, drawn by the second attempt."""
    about = {
        "family": "embedded",
        "prompt": "a fox",
        "seed": 1,
        "width": 128,
        "height": 128,
        "steps": 4,
        "guidance": 2.0,
    }
    row = Request(id=uuid.uuid4(), position=0, state=State.DONE, deadline_at=datetime.now(UTC), **about)
    tried = {"worker": "cpu0@host", "boot": uuid.uuid4(), "level": "exact", "model": "large"}
    row.tries = [Attempt(id=uuid.uuid4(), number=n, outcome=o, **tried) for n, o in ((1, "lost"), (2, "done"))]
    drawn = {"width": 128, "height": 128, "bytes": 3, "level": "exact", "model": "large", "family_version": "4"}
    row.images = [Image(key="a.png", sha256="d", attempt_id=row.tries[1].id, **drawn)]
    with transaction() as session:
        session.add(Job(family="embedded", source="api", size=1, title=title, requests=[row]))
    return row


def test_requests_of_the_load_are_read_with_outcomes_and_images(database: Any):
    row = committed("chaos 7")
    committed("somebody else's")
    found = json.loads(json.dumps(read()))
    (told,) = found["requests"]
    assert (told["id"], told["title"], told["state"], told["outcomes"]) == (
        str(row.id),
        "chaos 7",
        "done",
        ["lost", "done"],
    )
    assert {image["key"] for image in found["images"]} == {"a.png"}
    assert found["needed"] == ["quality", "router", "scheduler"]


def test_a_worker_is_seen_as_it_was_told_last_and_as_its_row_says(database: Any):
    with transaction() as session:
        about = {"device": "cpu:0", "device_type": "cpu", "family": "embedded", "state": "ready", "stats": {}}
        session.add(Worker(name="cpu0@host", boot=uuid.uuid4(), models=["large"], queues=["old"], **about))
        plan = Plan(
            family="embedded", policy="argus", status="optimal", observed={}, decided={}, reason="", seconds=0.0
        )
        session.add(plan)
        session.flush()
        for queues in (["older"], [QUEUE]):
            told = {"epoch": plan.epoch, "worker": "cpu0@host", "models": ["large"], "reason": ""}
            session.add(Assignment(queues=queues, **told))
            session.flush()
    found = read()
    assert found["workers"] == {"cpu0@host": {"assigned": [QUEUE], "row": ["old"], "consumed": []}}
    assert QUEUE in found["needed"]


def test_files_of_the_store_are_told_from_partial_ones(tmp_path: Path):
    folder = tmp_path / "files" / "2026"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(b"abc")
    (folder / "b.png.partial").write_bytes(b"a")
    (tmp_path / "images").symlink_to(tmp_path / "files")
    files, partials = stored(tmp_path / "images")
    assert files == {"2026/a.png": hashlib.sha256(b"abc").hexdigest()}
    assert partials == ["2026/b.png.partial"]
