"""Whatever a row is batched with, and however rows come and go, its latent is the one it has alone: float64, 1e-9."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.workers.toys import SCHEDULERS, make_request
from workers.engine.row_limit import RowLimit
from workers.engine.running_batch import RunningBatch
from workers.pipelines.base import Adapter
from workers.pipelines.rows import Row, Start

PROMPTS = ("a red fox", "two owls at night, oil on canvas", "x")


@dataclass(eq=False)
class Rider:
    """The least that a running batch wants of a request."""

    row: Row
    name: int
    urgency: float = 0.0


@dataclass(frozen=True)
class Plan:
    """A row's life: what it asks for, the turn it joins, and the turn it is thrown out, if at all."""

    prompt: str
    seed: int
    steps: int
    guidance: float
    joins: int
    thrown_out: int | None


plans = st.lists(
    st.builds(
        Plan,
        prompt=st.sampled_from(PROMPTS),
        seed=st.integers(0, 3),
        steps=st.integers(1, 6),
        guidance=st.sampled_from([1.0, 2.0, 7.5]),
        joins=st.integers(0, 5),
        thrown_out=st.none() | st.integers(1, 6),
    ),
    min_size=2,
    max_size=5,
)


def rider(adapter: Adapter, plan: Plan, name: int = 0) -> Rider:
    request = make_request(plan.prompt, seed=plan.seed)
    return Rider(adapter.prepare(request, Start(plan.steps), plan.guidance), name)


def turn(adapter: Adapter, batch: RunningBatch) -> None:
    rows = batch.rows(0, len(batch))
    adapter.advance(rows, adapter.denoise(rows))


def alone(adapter: Adapter, plan: Plan) -> Tensor:
    batch = RunningBatch(adapter, RowLimit(8))
    batch.join(rider(adapter, plan))
    while not batch.requests[0].row.sampler.done:
        turn(adapter, batch)
    return batch.leave(0).row.latent


def fused(adapter: Adapter, rows: list[Plan]) -> dict[int, Tensor]:
    """Rows join and leave a batch as their plans say; the finished latents by row."""
    batch, done, now = RunningBatch(adapter, RowLimit(8)), {}, 0
    while now <= max(plan.joins for plan in rows) or len(batch):
        for name, plan in enumerate(rows):
            if plan.joins == now:
                batch.join(rider(adapter, plan, name))
        for index in reversed(range(len(batch))):
            if rows[batch.requests[index].name].thrown_out == now:
                batch.leave(index)
        if len(batch):
            turn(adapter, batch)
        for index in reversed(range(len(batch))):
            if batch.requests[index].row.sampler.done:
                gone = batch.leave(index)
                done[gone.name] = gone.row.latent
        now += 1
    return done


def check(adapter: Adapter, rows: list[Plan]) -> None:
    for name, latent in fused(adapter, rows).items():
        difference = (latent - alone(adapter, rows[name])).abs().max()
        assert difference <= 1e-9, rows[name]


FEW = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("architecture", ["sd15", "sdxl", "sd3", "flux", "pixart-alpha", "pixart-sigma", "unet", "dit"])
def test_any_order_of_joining_and_leaving_gives_the_same_latents_in_every_family(toys, architecture):
    adapter = toys.adapter(architecture)

    @FEW
    @given(plans)
    def holds(rows):
        check(adapter, rows)

    holds()


@pytest.mark.parametrize("scheduler", sorted(SCHEDULERS))
def test_any_order_of_joining_and_leaving_gives_the_same_latents_with_every_safe_sampler(toys, scheduler):
    adapter = toys.adapter("sd15", scheduler)
    assert type(adapter.scheduler) is type(SCHEDULERS[scheduler]())

    @settings(FEW, max_examples=6)
    @given(plans)
    def holds(rows):
        check(adapter, rows)

    holds()


def test_the_last_row_moves_into_the_hole(toys):
    adapter = toys.adapter("sd15")
    batch = RunningBatch(adapter, RowLimit(8))
    for name in range(3):
        batch.join(rider(adapter, Plan("x", name, 4, 2.0, 0, None), name))
    latents = batch.latents[:3].clone()
    batch.leave(0)
    assert [request.name for request in batch.requests] == [2, 1]
    assert torch.equal(batch.latents[:2], latents[[2, 1]])
