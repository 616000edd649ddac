"""A CUDA error that sticks ends the engine in order: every request goes elsewhere, and the worker is told once."""

from __future__ import annotations

import pytest

from core.errors import DeviceFailed
from workers.engine.faults import is_device_failure

STICKY = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported"


@pytest.mark.parametrize(
    "message",
    [
        STICKY,
        "CUDA error: device-side assert triggered",
        "CUDA error: unspecified launch failure",
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: misaligned address",
    ],
)
def test_errors_after_which_a_context_is_unusable_are_told_from_others(message):
    assert is_device_failure(RuntimeError(message))
    assert not is_device_failure(RuntimeError("CUDA error: out of memory"))
    assert not is_device_failure(RuntimeError("CUDA error: invalid argument"))
    assert not is_device_failure(ValueError(message))


def engine_that_tells(bench, **options):
    told = []
    return bench(on_device_failure=told.append, **options), told


@pytest.mark.parametrize(
    ("where", "threaded"),
    [("forward", True), ("encode", True), ("decode", True), ("encode", False), ("decode", False)],
)
def test_every_request_ends_and_the_owner_is_told_once(bench, where, threaded):
    b, told = engine_that_tells(bench, threaded=threaded)
    adapter = b.adapters["large"]
    adapter.error = RuntimeError(STICKY)
    if where == "forward":
        adapter.broken = "doomed"
    else:
        adapter.failures[where] = [adapter.error]
    futures = [b.submit("doomed", steps=4), b.submit("doomed", steps=4), b.submit("doomed", steps=4)]
    if threaded:
        b.engine.start()
    else:
        b.run()
    for future in futures:
        with pytest.raises(DeviceFailed, match="illegal memory access was encountered"):
            future.result(10)
    with pytest.raises(DeviceFailed):
        b.submit().result(10)
    b.engine.stop()  # whose thread tells, when the requests have ended
    assert len(told) == 1


def test_a_forward_is_not_tried_in_halves_on_a_device_that_has_failed(bench):
    b, told = engine_that_tells(bench, threaded=True)
    b.adapters["large"].broken, b.adapters["large"].error = "doomed", RuntimeError(STICKY)
    before = b.adapters["large"].forwards
    futures = [b.submit("doomed") for _ in range(8)]
    b.engine.start()
    for future in futures:
        with pytest.raises(DeviceFailed):
            future.result(10)
    b.engine.stop()  # whose thread tells, when the requests have ended
    assert b.adapters["large"].forwards - before == 1
    assert told
