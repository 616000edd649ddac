"""A request that gives up its place goes on where it stood: the same image, and no forward twice."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
import torch

from core.errors import Cancelled
from workers.engine.preemption import Parking

SAMPLERS = ["EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler"]


def final_latent(bench, submit):
    """The latent that a submission's future ends with."""
    future = submit()
    ticket = next(iter(bench.engine._tickets.values()))
    bench.run()
    return ticket.row.latent, future.result(0)


def parked_after(bench, order, steps):
    """Run an order for so many steps and park it."""
    future = bench.engine.submit(order)
    for _ in range(steps):
        bench.engine.step()
    assert bench.engine.park(order.request_id)
    bench.engine.step()
    with pytest.raises(Cancelled, match=f"It ran {steps} steps"):
        future.result(0)


def next_attempt(order, **changes):
    return dataclasses.replace(order, attempt=order.attempt + 1, **changes)


@pytest.mark.parametrize("scheduler", SAMPLERS)
def test_a_parked_request_ends_as_the_uninterrupted_one_with_as_many_forwards(bench, scheduler):
    b = bench(scheduler=scheduler)
    assert type(b.adapters["large"].scheduler).__name__ == scheduler
    order = b.order("moth", seed=3, steps=12)
    alone, _ = final_latent(b, lambda: b.engine.submit(order))
    before = b.adapters["large"].forwards
    parked_after(b, order, 5)
    assert b.engine.parked() == [order.request_id]
    interrupted, outcome = final_latent(b, lambda: b.engine.submit(next_attempt(order, deadline=time.time() + 60)))
    assert (interrupted - alone).abs().max() <= 1e-9
    assert b.adapters["large"].forwards - before == 12
    assert (outcome.steps_run, outcome.reason) == (7, "resumed with 7 steps left")
    assert not b.engine.parked()


def test_a_request_parked_twice_among_others_that_come_and_go_ends_as_alone(bench):
    b = bench()
    order = b.order("moth", seed=3)
    alone, _ = final_latent(b, lambda: b.engine.submit(order))
    b.submit("owl", steps=3)
    parked_after(b, order, 4)
    b.submit("bear", steps=9)
    parked_after(b, next_attempt(order), 6)
    b.submit("a longer prompt", steps=30)
    futures = b.engine.submit(next_attempt(next_attempt(order)))
    ticket = b.engine._tickets[order.request_id]
    b.run()
    assert (ticket.row.latent - alone).abs().max() <= 1e-9
    assert futures.result(0).steps_run == 10


def test_a_request_that_somebody_else_had_in_between_starts_again(bench):
    b = bench()
    order = b.order(steps=12)
    parked_after(b, order, 5)
    again = b.engine.submit(dataclasses.replace(order, attempt=3))
    b.run()
    assert (again.result(0).steps_run, again.result(0).reason) == (12, None)
    assert not b.engine.parked()


@pytest.mark.parametrize("change", [{"level": "fs-10"}, {"seed": 99}, {"steps": 13}])
def test_a_request_that_is_not_the_same_any_more_starts_again(bench, change):
    b = bench()
    order = b.order(steps=12)
    parked_after(b, order, 5)
    level = {"level": b.family.level(change["level"])} if "level" in change else change
    again = b.engine.submit(next_attempt(order, **level))
    b.run()
    assert again.result(0).reason is None


def test_parking_ends_a_request_that_has_no_place_yet_without_keeping_anything(bench):
    b = bench(max_batch=1)
    b.submit(steps=20)
    waits = b.order(steps=20)
    future = b.engine.submit(waits)
    b.engine.step()
    assert b.engine.park(waits.request_id)
    b.engine.step()
    with pytest.raises(Cancelled):
        future.result(0)
    assert not b.engine.parked()


def test_what_is_parked_is_bounded_and_the_longest_parked_leaves_first(bench):
    b = bench()
    latent_mb = 3 * 4 * 4 * 8 / 1e6
    b.engine.levels.parking = Parking(budget_mb=2.5 * latent_mb)
    orders = [b.order(steps=12) for _ in range(3)]
    for order in orders:
        parked_after(b, order, 2)
    assert b.engine.parked() == [order.request_id for order in orders[1:]]
    b.engine.unpark(b.engine.parked())
    assert not b.engine.parked()


def test_the_latents_that_a_cache_wants_are_kept_across_a_park(bench):
    b = bench()
    order = b.order(steps=20)
    future = b.engine.submit(order)
    ticket = b.engine._tickets[order.request_id]
    ticket.keep = frozenset({4, 8})
    for _ in range(5):
        b.engine.step()
    b.engine.park(order.request_id)
    b.engine.step()
    with pytest.raises(Cancelled):
        future.result(0)
    b.engine.submit(next_attempt(order))
    ticket = b.engine._tickets[order.request_id]
    assert set(ticket.kept) == {4}
    assert ticket.kept[4].dtype == torch.float16
    assert np.isfinite(ticket.kept[4].numpy()).all()
