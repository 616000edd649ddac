"""A request fails alone: its neighbours in the batch finish with the same image as ever."""

from __future__ import annotations

import gc

import numpy as np
import psutil
import pytest
import torch

from core.errors import DecodeFailed, EngineError, NotANumber, OutOfMemory


def picture(future):
    return np.asarray(future.result(0).image)


def together(b, *bad):
    """Two good requests around the bad ones; answers the futures of the bad after checking the good."""
    alone = [b.submit("owl", seed=1), b.submit("bear cub", seed=2)]
    b.run()
    first = b.submit("owl", seed=1)
    failing = [b.engine.submit(order) for order in bad]
    last = b.submit("bear cub", seed=2)
    b.run()
    assert (picture(first) == picture(alone[0])).all()
    assert (picture(last) == picture(alone[1])).all()
    return failing


def test_a_latent_that_is_not_a_number_fails_its_own_request_only(bench):
    b = bench()
    b.adapters["large"].poison = "poison"
    (failed,) = together(b, b.order("poison"))
    with pytest.raises(NotANumber):
        failed.result(0)


def test_a_row_at_which_the_forward_raises_is_found_by_halving(bench):
    b = bench()
    b.adapters["large"].broken = "a very long broken prompt"
    failed = together(b, b.order("fine"), b.order("a very long broken prompt"), b.order("fine too"))
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
    (failed,) = together(b, b.order("unreadable"))
    with pytest.raises(EngineError, match="no such letters"):
        failed.result(0)


def test_a_latent_that_can_not_be_decoded_fails_after_its_neighbours_are_safe(bench):
    b = bench()
    b.engine.submit(b.order("moth", seed=9))
    ticket = next(iter(b.engine._tickets.values()))
    b.run()
    b.adapters["large"].undecodable = ticket.row.latent
    (failed,) = together(b, b.order("moth", seed=9))
    with pytest.raises(DecodeFailed, match="bad picture"):
        failed.result(0)


def test_a_fault_in_the_loop_fails_the_open_requests_and_the_loop_goes_on(bench):
    b = bench(threaded=True, late_binding=lambda *_: 1 / 0)
    b.engine.start()
    with pytest.raises(EngineError, match="ZeroDivisionError"):
        b.submit().result(10)
    b.engine.levels.late_binding = None
    assert b.submit(steps=2).result(10).steps_run == 2
    b.engine.stop()


def test_nothing_grows_over_ten_thousand_requests(bench):
    b = bench(max_batch=16)

    def thousand():
        for _ in range(50):
            futures = [b.submit(steps=1 + n % 3, guidance=1.0) for n in range(20)]
            b.run()
            assert all(future.done() for future in futures)
        gc.collect()

    thousand()
    before = psutil.Process().memory_info().rss
    objects = len(gc.get_objects())
    for _ in range(9):
        thousand()
    assert b.engine.stats()["done"] == 10_000
    assert len(gc.get_objects()) < objects + 500
    assert psutil.Process().memory_info().rss < before + 20e6
    assert not b.engine._lanes
    assert not b.engine._tickets
    assert torch.is_inference_mode_enabled() is False
