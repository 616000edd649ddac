"""A preempted request continues where it was: the same image, and no forward twice."""

from __future__ import annotations

import dataclasses
import time

import pytest
import torch

from core.errors import Cancelled
from workers.engine.preemption import PreemptedStore

SAMPLERS = ["EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler"]


def preempt_after(bench, request, steps):
    """Run a request for so many steps and preempt it."""
    future = bench.engine.submit(request)
    for _ in range(steps):
        bench.engine.step()
    assert bench.engine.preempt(request.request_id)
    bench.engine.step()
    with pytest.raises(Cancelled, match=f"It ran {steps} steps"):
        future.result(0)


def next_attempt(request, **changes):
    return dataclasses.replace(request, attempt=request.attempt + 1, **changes)


@pytest.mark.parametrize("scheduler", SAMPLERS)
def test_a_preempted_request_ends_as_the_uninterrupted_one_with_as_many_forwards(bench, scheduler):
    b = bench(scheduler=scheduler)
    assert type(b.adapters["large"].scheduler).__name__ == scheduler
    request = b.request("moth", seed=3, steps=12)
    alone, _ = b.final_latent(request)
    before = b.adapters["large"].forwards
    preempt_after(b, request, 5)
    assert b.engine.preempted() == [request.request_id]
    interrupted, result = b.final_latent(next_attempt(request, deadline=time.time() + 60))
    assert (interrupted - alone).abs().max() <= 1e-9
    assert b.adapters["large"].forwards - before == 12
    assert (result.steps_run, result.reason) == (7, "resumed with 7 steps left")
    assert not b.engine.preempted()


def test_a_request_preempted_twice_among_others_that_come_and_go_ends_as_alone(bench):
    b = bench()
    request = b.request("moth", seed=3)
    alone, _ = b.final_latent(request)
    b.submit("owl", steps=3)
    preempt_after(b, request, 4)
    b.submit("bear", steps=9)
    preempt_after(b, next_attempt(request), 6)
    b.submit("a longer prompt", steps=30)
    interrupted, result = b.final_latent(next_attempt(next_attempt(request)))
    assert (interrupted - alone).abs().max() <= 1e-9
    assert result.steps_run == 10


def test_a_request_that_somebody_else_had_in_between_starts_again(bench):
    b = bench()
    request = b.request(steps=12)
    preempt_after(b, request, 5)
    again = b.engine.submit(dataclasses.replace(request, attempt=3))
    b.run()
    assert (again.result(0).steps_run, again.result(0).reason) == (12, None)
    assert not b.engine.preempted()


@pytest.mark.parametrize("change", [{"level": "fs-10"}, {"seed": 99}, {"steps": 13}])
def test_a_request_that_is_not_the_same_any_more_starts_again(bench, change):
    b = bench()
    request = b.request(steps=12)
    preempt_after(b, request, 5)
    level = {"level": b.family.level(change["level"])} if "level" in change else change
    again = b.engine.submit(next_attempt(request, **level))
    b.run()
    assert again.result(0).reason is None


def test_preemption_ends_a_request_that_is_not_admitted_yet_without_keeping_anything(bench):
    b = bench(max_batch=1)
    b.submit(steps=20)
    waits = b.request(steps=20)
    future = b.engine.submit(waits)
    b.engine.step()
    assert b.engine.preempt(waits.request_id)
    b.engine.step()
    with pytest.raises(Cancelled):
        future.result(0)
    assert not b.engine.preempted()


def test_the_states_kept_are_bounded_and_the_oldest_leaves_first(bench):
    latent_mb = 3 * 4 * 4 * 8 / 1e6
    b = bench(preempted=PreemptedStore(budget_mb=2.5 * latent_mb))
    requests = [b.request(steps=12) for _ in range(3)]
    for request in requests:
        preempt_after(b, request, 2)
    assert b.engine.preempted() == [request.request_id for request in requests[1:]]
    b.engine.preempted_store.discard(b.engine.preempted())
    assert not b.engine.preempted()


def test_the_latents_that_a_cache_wants_are_kept_across_a_preemption(bench):
    b = bench()
    request = b.request(steps=20)
    b.engine.submit(request)
    running = b.engine.find(request.request_id)
    running.store_at = frozenset({4, 8})
    for _ in range(5):
        b.engine.step()
    b.engine.preempt(request.request_id)
    b.engine.step()
    assert b.engine.find(request.request_id) is None
    b.engine.submit(next_attempt(request))
    kept = b.engine.find(request.request_id).latents_to_store
    assert set(kept) == {4}
    assert kept[4].dtype == torch.float16
    assert torch.isfinite(kept[4]).all()
