"""The order of work on a device: a CUDA stream for each stage, events between them; on the CPU nothing has to wait.

The loop works on the device's default stream. Encoding and decoding have streams of their own, so that they overlap
with the steps instead of standing between them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class StageStream:
    """The work of one stage's thread."""

    def __init__(self, device: str) -> None:
        self._stream = torch.cuda.Stream(device) if device.startswith("cuda") else None

    @contextmanager
    def use(self, after: Mark | None = None) -> Iterator[None]:
        """Do this thread's work on the stage's stream, after what was marked; it is done when the block ends."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            if after is not None and after.event is not None:
                self._stream.wait_event(after.event)
            yield
            self._stream.synchronize()


class Mark:
    """A point in the work that the loop, in its one thread, queues on the device."""

    def __init__(self, device: torch.device) -> None:
        self.event: torch.cuda.Event | None = None
        self._at, self._worked = time.perf_counter(), time.thread_time()
        if device.type == "cuda":
            self.event = torch.cuda.Event(enable_timing=True, blocking=True)
            self.event.record(torch.cuda.current_stream(device))

    def wait(self) -> None:
        """Until the device has come so far."""
        if self.event is not None:
            self.event.synchronize()

    def seconds_since(self, earlier: Mark) -> float:
        """Seconds of the device between two marks; both must be reached."""
        if self.event is None or earlier.event is None:
            return self._at - earlier._at
        seconds: float = earlier.event.elapsed_time(self.event) / 1000
        return seconds

    def worked_since(self, earlier: Mark) -> float:
        """Seconds of the device's work between two marks: those for which a CPU did something else are not."""
        return self.seconds_since(earlier) if self.event is not None else self._worked - earlier._worked


def on_this_stream(tensor: Tensor) -> None:
    """The tensor was made on another stream and is read on this one: its memory is not to be used again before."""
    if tensor.device.type == "cuda":
        tensor.record_stream(torch.cuda.current_stream(tensor.device))
