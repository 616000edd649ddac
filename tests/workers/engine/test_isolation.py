"""A request fails alone: its neighbours in the batch finish with the same image as ever."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

from core.errors import DecodeFailed, EngineError, NotANumber, OutOfMemory
from core.step_curve import StepCurve


def picture(future):
    return np.asarray(future.result(0).image)


def together(b, *bad):
    """Two good requests around the bad ones; answers the futures of the bad after checking the good."""
    alone = [b.submit("owl", seed=1), b.submit("bear cub", seed=2)]
    b.run()
    first = b.submit("owl", seed=1)
    failing = [b.engine.submit(request) for request in bad]
    last = b.submit("bear cub", seed=2)
    b.run()
    assert (picture(first) == picture(alone[0])).all()
    assert (picture(last) == picture(alone[1])).all()
    return failing


def test_a_latent_that_is_not_a_number_fails_its_own_request_only(bench):
    b = bench()
    b.adapters["large"].poison = "poison"
    (failed,) = together(b, b.request("poison"))
    with pytest.raises(NotANumber):
        failed.result(0)


def test_a_row_at_which_the_forward_raises_is_found_by_halving(bench):
    b = bench()
    b.adapters["large"].broken = "a very long broken prompt"
    failed = together(b, b.request("fine"), b.request("a very long broken prompt"), b.request("fine too"))
    with pytest.raises(EngineError, match="kernel failed"):
        failed[1].result(0)
    assert failed[0].result(0).steps_run == failed[2].result(0).steps_run == 20


def test_running_out_of_memory_continues_with_smaller_batches_and_says_so(bench):
    b = bench()
    b.adapters["large"].most_rows = 4  # two guided rows
    futures = [b.submit("fox", steps=3, seed=n) for n in range(4)]
    b.run()
    assert [future.result(0).steps_run for future in futures] == [3, 3, 3, 3]
    assert all("out of memory at 4 rows, continued with 2" in future.result(0).reason for future in futures)
    before = b.adapters["large"].forwards
    b.submit(steps=2), b.submit(steps=2), b.submit(steps=2)
    b.run()
    assert b.engine.stats()["out_of_memory"] == 1, "the smaller limit is remembered while the model is held"
    assert b.adapters["large"].forwards - before == 4


def test_a_request_that_does_not_fit_even_alone_fails_with_a_code(bench):
    b = bench()
    b.adapters["large"].most_rows = 1
    (failed,) = together_small(b)
    with pytest.raises(OutOfMemory):
        failed.result(0)


def together_small(b):
    guided, plain = b.submit(guidance=5.0), b.submit(guidance=1.0)
    b.run()
    assert plain.result(0).steps_run == 20
    return (guided,)


def test_a_prompt_that_can_not_be_encoded_fails_before_it_reaches_the_batch(bench):
    b = bench()
    (failed,) = together(b, b.request("unreadable"))
    with pytest.raises(EngineError, match="no such letters"):
        failed.result(0)


def test_a_latent_that_can_not_be_decoded_fails_after_its_neighbours_are_safe(bench):
    b = bench()
    b.adapters["large"].undecodable, _ = b.final_latent(b.request("moth", seed=9))
    (failed,) = together(b, b.request("moth", seed=9))
    with pytest.raises(DecodeFailed, match="bad picture"):
        failed.result(0)


class Broken(StepCurve):
    """A fault of our own: it is asked while the loop admits."""

    def step_s(self, rows):
        raise ZeroDivisionError


def test_a_fault_in_the_loop_fails_the_open_requests_and_the_loop_goes_on(bench):
    b = bench(threaded=True, curves={"large": Broken()})
    b.engine.start()
    with pytest.raises(EngineError, match="ZeroDivisionError"):
        b.submit().result(10)
    b.engine.costs.curves.clear()
    assert b.submit(steps=2).result(10).steps_run == 2
    b.engine.stop()


def test_nothing_of_a_finished_request_stays_in_the_engine(bench):
    b = bench(max_batch=16)
    requests = [b.request(steps=1 + n % 3, guidance=1.0) for n in range(20)]
    futures = [b.engine.submit(request) for request in requests]
    left = [weakref.ref(b.engine.find(request.request_id)) for request in requests]
    b.run()
    assert [future.result(0).steps_run for future in futures] == [request.steps for request in requests]
    gc.collect()
    assert not any(reference() for reference in left)
    assert not b.engine.batches()
    assert torch.is_inference_mode_enabled() is False
