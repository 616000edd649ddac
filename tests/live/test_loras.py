"""Requests with LoRAs on real rows: routed, re-aligned and admitted at levels that can draw with them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.database import transaction
from core.families import Family, load_family
from core.tables import Request, State
from core.workers import WorkerIdentity
from scheduler.control.router import Router
from scheduler.control.tick import Scheduler
from tests.app.conftest import configured
from tests.live.rows import join, requests, submit
from workers.admission import PolicyAdmission, claim

LORAS = """
[loras.ink]
path = "ink.safetensors"
models = ["large"]
[loras.oil]
path = "oil.safetensors"
models = ["large", "small"]
"""


@pytest.fixture
def family(database: Any, toy: Path, tmp_path: Path) -> Iterator[Family]:
    """The toy family as one of the hub, with LoRAs; nobody loads it."""
    path = tmp_path / "toy.toml"
    path.write_text(toy.read_text().replace('"embedded-unet"', '"stable-diffusion"') + LORAS)
    with configured(ARGUS_FAMILY=str(path)):
        yield load_family(str(path))


def levels(job: uuid.UUID) -> set[str | None]:
    return {row.level for row in requests(job)}


def test_under_load_they_go_to_cheaper_levels_that_can_draw_with_them_and_to_no_others(family: Family) -> None:
    join("a@test", ("large",))
    join("b@test", ("small",))
    submit(800)
    Router(family).route()
    Scheduler(family).tick()
    plain, ink, oil = submit(60), submit(60, loras="ink:1"), submit(60, loras="ink:1,oil:1")
    Router(family).route()
    assert "sm-small" in levels(plain)
    assert "sm-small" not in levels(ink) | levels(oil)
    Scheduler(family).tick()
    assert "sm-small" not in levels(ink) | levels(oil)


def test_where_no_worker_can_draw_with_them_they_wait_for_one_at_the_reference_level(family: Family) -> None:
    join("b@test", ("small",))
    scheduler = Scheduler(family)
    scheduler.tick()
    plain, ink, oil = submit(4), submit(4, loras="ink:1"), submit(4, loras="oil:0.5")
    Router(family).route()
    assert (levels(plain), levels(ink), levels(oil)) == ({"sm-small"}, {"exact"}, {"sm-small"})
    scheduler.tick()
    assert levels(ink) == {"exact"}


def test_what_is_predicted_at_levels_that_cannot_is_none(family: Family) -> None:
    join()
    Scheduler(family).tick()
    job = submit(1, loras="ink:1")
    Router(family).route()
    (row,) = requests(job)
    assert row.qualities["sm-small"] == 0.0
    assert row.qualities["exact"] == 1.0


def test_a_worker_counts_what_a_lora_was_measured_to_cost(family: Family, services: Any) -> None:
    profile = services.home / "profiles" / "toy" / "cpu.json"
    before = profile.read_text()
    written = json.loads(before)
    written["levels"][0]["lora_ratio"] = 1.5
    profile.write_text(json.dumps(written))
    try:
        join()
        Scheduler(family).tick()
        admission = PolicyAdmission(family, "cpu0@test", "cpu")
        job = submit(3, state=State.QUEUED, level="exact", epoch=1)
        with transaction() as session:
            for row, loras, steps in zip(requests(job), (None, "ink:1", "ink:1"), (8, 8, 16), strict=True):
                session.get_one(Request, row.id).loras = loras
                session.get_one(Request, row.id).steps = steps
        assert claim(family, WorkerIdentity("cpu0@test", uuid.uuid4()), ["exact"], admission) is not None
        assert [admission.length(row) for row in requests(job)] == [1.0, 1.5, 3.0]
    finally:
        profile.write_text(before)
