"""A request that stands still for another, and goes on: the same image, no forward twice, nothing of it lost."""

from __future__ import annotations

import time

import pytest
import torch

from core.errors import Cancelled
from core.step_curve import StepCurve

SAMPLERS = ["EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler"]


def held_after(bench, request, steps):
    """Run a request for so many steps; then it stands still."""
    future = bench.engine.submit(request)
    for _ in range(steps):
        bench.engine.step()
    assert bench.engine.hold(request.request_id)
    return future


@pytest.mark.parametrize("scheduler", SAMPLERS)
def test_a_request_that_stood_still_ends_as_the_uninterrupted_one(bench, scheduler):
    b = bench(scheduler=scheduler)
    request = b.request("moth", seed=3, steps=12)
    alone, _ = b.final_latent(request)
    before = b.adapters["large"].forwards
    future = held_after(b, request, 5)
    running = b.engine.find(request.request_id)
    short = b.submit("owl", steps=3)
    b.run()
    assert short.result(0).batch_max == 1  # it had the device to itself
    assert not future.done()
    assert running.steps_left == 7
    b.engine.hold(request.request_id, held=False)
    b.run()
    assert (running.row.latent - alone).abs().max() <= 1e-9
    assert (future.result(0).steps_run, future.result(0).reason) == (12, None)
    assert b.adapters["large"].forwards - before == 12 + 3


def test_where_all_stand_still_the_loop_has_nothing_to_do(bench):
    b = bench()
    request = b.request(steps=12)
    held_after(b, request, 5)
    assert not b.engine.step()
    assert b.engine.stats()["open"] == 1


def test_a_request_that_stands_still_can_be_cancelled(bench):
    b = bench()
    request = b.request(steps=12)
    future = held_after(b, request, 5)
    b.engine.step()
    b.engine.cancel(request.request_id)
    b.engine.step()
    with pytest.raises(Cancelled):
        future.result(0)


def test_a_request_held_before_its_first_step_waits_without_one(bench):
    b = bench()
    request = b.request(steps=12)
    future = b.engine.submit(request)
    b.engine.hold(request.request_id)
    assert not b.engine.step()
    b.engine.hold(request.request_id, held=False)
    b.run()
    assert future.result(0).steps_run == 12


def test_a_request_that_goes_on_late_moves_on_its_schedule_and_does_not_begin_again(bench):
    b = bench(curves={"large": StepCurve((1,), (0.001,))})
    request = b.request(steps=40, deadline=time.time() + 60, allowed_levels=("exact", "fs-4"))
    future = held_after(b, request, 20)
    b.engine.step()
    b.engine.costs.curves["large"] = StepCurve((1,), (4.0,))  # 80 s for the other half, 16 s on the shorter schedule
    b.engine.hold(request.request_id, held=False)
    b.run()
    result = future.result(0)
    assert result.level_id == "fs-4"
    assert 20 < result.steps_run < 40
    assert "moved from exact to fs-4 with 19 steps left" in result.reason  # it takes one before it moves


def test_latents_stay_where_they_are(bench):
    b = bench()
    request = b.request(steps=12)
    held_after(b, request, 5)
    b.engine.step()
    row = b.engine.find(request.request_id).row
    kept = row.latent.clone()
    b.submit("owl", steps=6)
    b.submit("bear", steps=9)
    b.run()
    assert torch.equal(row.latent, kept)
