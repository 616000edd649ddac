"""Running out of memory, wherever it happens, costs time and says so; limits recover when memory is there again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.errors import OutOfMemory
from tests.workers.pencil import Pencil, pencil_family
from workers.engine.faults import again_with_memory, is_out_of_memory
from workers.engine.loading import sizes_up_to, warm_up
from workers.engine.row_limit import PATIENCE, RowLimit


def short(count=1):
    """So many errors as the device raises them."""
    return [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 480.00 MiB") for _ in range(count)]


def picture(future):
    return np.asarray(future.result(0).image)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory"),
    ],
)
def test_every_way_to_say_that_memory_is_short_is_understood(error):
    assert is_out_of_memory(error)
    assert not is_out_of_memory(RuntimeError("CUDA error: invalid argument"))


def test_every_size_is_warmed_up_until_memory_is_short_and_the_model_is_loaded_with_what_fits():
    assert sizes_up_to(12) == [1, 2, 4, 8, 12]
    family = pencil_family()
    adapter = Pencil(family.models["large"], "cpu", torch.float64)
    adapter.most_rows = 5  # two guided rows
    request = bench_request(family)
    assert warm_up(adapter, request, 12) == 2
    adapter.most_rows = 0
    adapter.failures["decode"] = short()
    assert warm_up(adapter, request, 12) == 1


def bench_request(family):
    from workers.engine.request import GenerationRequest

    return GenerationRequest("w", "w", 0, family.level("exact"), 2, 2.0, 4, 4)


def test_batches_keep_to_the_rows_that_fitted_when_the_model_was_warmed_up(bench):
    b = bench()
    b.adapters["large"].rows_that_fit = 2
    futures = [b.submit(steps=3) for _ in range(4)]
    b.run()
    assert max(future.result(0).batch_max for future in futures) == 2


def test_an_encoding_that_runs_out_of_memory_is_tried_again_when_a_row_has_left(bench):
    b = bench()
    alone = b.submit("owl", seed=4)
    b.run()
    b.submit(steps=3)
    b.engine.step()
    b.adapters["large"].failures["encode"] = short(2)
    future = b.submit("owl", seed=4)
    assert b.engine.stats()["open"] == 2
    b.run()
    assert (picture(future) == picture(alone)).all()


def test_an_encoding_that_never_fits_ends_with_a_code(bench):
    b = bench()
    b.adapters["large"].failures["encode"] = short(99)
    future = b.submit()
    b.run()
    with pytest.raises(OutOfMemory):
        future.result(0)


def test_a_row_that_does_not_fit_into_the_batch_waits_until_another_leaves(bench, monkeypatch):
    b = bench()
    alone = [b.submit("owl", seed=n, steps=4) for n in range(3)]
    b.run()
    zeros = torch.zeros

    def scarce(size, **more):
        if len(size) == 4 and size[0] > 2:
            raise torch.OutOfMemoryError(f"{size[0]} rows")
        return zeros(size, **more)

    monkeypatch.setattr(torch, "zeros", scarce)
    together = [b.submit("owl", seed=n, steps=4) for n in range(3)]
    b.run()
    for one, other in zip(alone, together, strict=True):
        assert (picture(one) == picture(other)).all()
    assert max(future.result(0).batch_max for future in together) == 2
    assert b.engine.stats()["out_of_memory"] > 0


@pytest.mark.parametrize("scheduler", ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_a_sampler_step_that_runs_out_of_memory_is_taken_row_by_row(bench, scheduler):
    b = bench(scheduler=scheduler)
    alone = []
    for seed in range(3):
        alone.append(b.submit("owl", seed=seed, steps=6))
        b.run()
    b.adapters["large"].most_advanced = 1
    together = [b.submit("owl", seed=seed, steps=6) for seed in range(3)]
    b.run()
    for one, other in zip(alone, together, strict=True):
        assert (picture(one) == picture(other)).all()
    assert [future.result(0).batch_max for future in together] == [3, 3, 3]


@pytest.mark.parametrize("scheduler", ["DPMSolverMultistepScheduler", "EulerAncestralDiscreteScheduler"])
def test_a_sampler_with_a_history_is_as_before_when_its_step_fails(bench, scheduler):
    b = bench(scheduler=scheduler)
    alone = b.submit("owl", seed=1, steps=6)
    b.run()
    request = b.request("owl", seed=1, steps=6)
    future = b.engine.submit(request)
    b.engine.step()
    sampler = b.engine.find(request.request_id).row.sampler
    step, failures = sampler.scheduler.step, short()

    def late(*args, **options):
        answer = step(*args, **options)
        if failures:
            raise failures.pop()
        return answer

    late.__code__ = late.__code__.replace(co_varnames=late.__code__.co_varnames)
    sampler.scheduler.step = late if scheduler.startswith("DPM") else _with_generator(step, failures)
    b.run()
    assert (picture(future) == picture(alone)).all()


def _with_generator(step, failures):
    def late(model_output, timestep, sample, generator=None, return_dict=True):
        answer = step(model_output, timestep, sample, generator=generator, return_dict=return_dict)
        if failures:
            raise failures.pop()
        return answer

    return late


def test_a_latent_too_large_to_decode_is_decoded_in_tiles_and_the_record_says_so(bench):
    b = bench()
    b.adapters["large"].failures["decode"] = short()
    future = b.submit(steps=2)
    b.run()
    assert b.adapters["large"].tiled
    assert future.result(0).reason == "out of memory when decoding, decoded in tiles"


def test_decoding_is_tried_again_when_a_row_has_left_and_ends_with_a_code_at_last(bench):
    b = bench()
    b.adapters["large"].failures["decode"] = short(4)
    first, other = b.submit(steps=2), b.submit(steps=5)
    b.run()
    assert first.result(0).steps_run == 2
    assert other.result(0).steps_run == 5
    b.adapters["large"].failures["decode"] = short(99)
    never = b.submit(steps=2)
    b.run()
    with pytest.raises(OutOfMemory):
        never.result(0)


def test_a_row_leaves_its_batch_also_when_its_latent_is_copied_at_the_second_try():
    tries = short()

    def work():
        if tries:
            raise tries.pop()
        return "copied"

    assert again_with_memory(work) == "copied"
    with pytest.raises(ZeroDivisionError):
        again_with_memory(lambda: 1 / 0)


def test_a_limit_recovers_after_a_while_and_each_shortage_makes_it_longer():
    limit = RowLimit(8)
    limit.shrink(8)
    for _ in range(2 * PATIENCE - 1):
        limit.stepped()
    assert limit.rows == 4
    limit.stepped()
    assert limit.rows == 8
    limit.shrink(8)
    for _ in range(2 * PATIENCE):
        limit.stepped()
    assert limit.rows == 4
    for _ in range(2 * PATIENCE):
        limit.stepped()
    assert limit.rows == 8


def test_batches_grow_again_when_memory_has_come_back(bench):
    b = bench()
    b.adapters["large"].most_rows = 4  # two guided rows
    for n in range(4):
        b.submit("fox", steps=3, seed=n)
    b.run()
    b.adapters["large"].most_rows = 1000
    b.submit(steps=3 * PATIENCE)
    b.run()
    futures = [b.submit(steps=3) for _ in range(4)]
    b.run()
    assert max(future.result(0).batch_max for future in futures) == 4
