"""CUDA graphs for networks that are bound by launching kernels: a forward recorded once a batch size, then replayed.

A small network leaves the GPU idle while the host launches its next kernels: then a step takes as long with one row as
with eight. A graph launches them all at once. It has fixed shapes, so it is recorded for a few sizes (buckets), and a
batch is padded to the next; rows do not see each other, so padding changes nothing.
"""

from __future__ import annotations

import logging
import statistics
import time
import weakref
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

log = logging.getLogger(__name__)

Tensors = dict[str, Tensor]
Forward = Callable[[Tensor, Tensor, Tensors], Tensor]

FASTER = 0.97  # a graph is kept where its replay takes at most this share of the forward
LAUNCH_BOUND = 1.6  # times the smallest bucket's seconds: a forward that takes longer has the GPU busy
REPEATS = 5
ENOUGH_S = 0.4  # of measuring one forward


class Recorder(Protocol):
    """Records a piece of work on fixed tensors."""

    def record(self, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Answers what replays it; every replay answers the same tensor, with new content."""

    def wait(self) -> None:
        """Until the device has done what it was asked."""


class CudaRecorder:
    """Records CUDA graphs; those of one network share their memory, as only one of them runs at a time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._graphs: weakref.WeakSet[Any] = weakref.WeakSet()  # a pool lives as long as one of its graphs

    def record(self, work: Callable[[], Tensor]) -> Callable[[], Tensor]:
        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):  # libraries set themselves up on the first call, which can't be recorded
            work()
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph, pool = torch.cuda.CUDAGraph(), next((other.pool() for other in self._graphs), None)
        # other threads (encoder, decoder) go on allocating meanwhile: only what this one does is recorded
        with torch.cuda.graph(graph, pool=pool, stream=side, capture_error_mode="thread_local"):
            output = work()
        self._graphs.add(graph)

        def replay() -> Tensor:
            graph.replay()
            return output

        return replay

    def wait(self) -> None:
        torch.cuda.synchronize(self.device)


class _Recorded:
    """One recorded forward, and the tensors that it reads."""

    def __init__(self, forward: Forward, recorder: Recorder, latents: Tensor, times: Tensor, conditioning: Tensors):
        self.latents, self.times = latents.clone(), times.clone()
        self.conditioning = {name: value.clone() for name, value in conditioning.items()}
        self._replay = recorder.record(lambda: forward(self.latents, self.times, self.conditioning))

    def __call__(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        rows = len(latents)
        self.latents[:rows], self.times[:rows] = latents, times
        for name, value in conditioning.items():
            self.conditioning[name][:rows] = value
        return self._replay()[:rows].clone()  # the next replay writes over it


class GraphedForward:
    """A forward that is replayed for the shapes it was recorded for, and run for others.

    Args:
        mode: `auto` records where the forward is bound by launching kernels and keeps what is faster; `on` records all.
        seconds: measures a forward; tests give their own.
    """

    def __init__(
        self,
        forward: Forward,
        recorder: Recorder,
        mode: str = "auto",
        seconds: Callable[[Callable[[], Any]], float] | None = None,
    ) -> None:
        self.forward, self.recorder, self.mode = forward, recorder, mode
        self.seconds = seconds or self._seconds
        self._recorded: dict[Any, dict[int, _Recorded]] = {}  # by shape of a row, by rows
        self._floor: dict[Any, float] = {}

    def __call__(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        sizes = self._recorded.get(_shape(latents, times, conditioning), {})
        bucket = min((size for size in sizes if size >= len(latents)), default=None)
        run = self.forward if bucket is None else sizes[bucket]
        return run(latents, times, conditioning)

    def sizes(self) -> list[int]:
        """Rows of the recorded forwards."""
        return sorted({size for sizes in self._recorded.values() for size in sizes})

    def record(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> bool:
        """Record the forward of these rows, smaller ones first; whether it is kept."""
        shape, rows = _shape(latents, times, conditioning), len(latents)
        plain_s = self.seconds(lambda: self.forward(latents, times, conditioning))
        floor = self._floor.setdefault(shape, plain_s)
        if self.mode == "auto" and plain_s > LAUNCH_BOUND * floor:
            return False
        try:
            recorded = _Recorded(self.forward, self.recorder, latents, times, conditioning)
        except Exception as error:  # memory, or an operation that can't be recorded: it runs as it is
            log.warning("forward of %d rows can't be recorded: %r", rows, error)
            return False
        graph_s = self.seconds(lambda: recorded(latents, times, conditioning))
        log.info("forward of %d rows: %.2f ms, as a graph %.2f ms", rows, 1000 * plain_s, 1000 * graph_s)
        if self.mode == "auto" and graph_s > FASTER * plain_s:
            return False
        self._recorded.setdefault(shape, {})[rows] = recorded
        return True

    def _seconds(self, work: Callable[[], Any]) -> float:
        """Median seconds, the device's part included; of fewer runs where each takes long."""
        taken = [self._once(work)]
        while len(taken) <= REPEATS and sum(taken) < ENOUGH_S:
            taken.append(self._once(work))
        return statistics.median(taken[1:] or taken)  # the first may be a colder one

    def _once(self, work: Callable[[], Any]) -> float:
        self.recorder.wait()
        began = time.perf_counter()
        work()
        self.recorder.wait()
        return time.perf_counter() - began


def _shape(latents: Tensor, times: Tensor, conditioning: Tensors) -> Any:
    """What must be equal for a recorded forward to serve: shapes of a row and data types."""
    inputs = sorted((name, tuple(value.shape[1:]), value.dtype) for name, value in conditioning.items())
    return (tuple(latents.shape[1:]), latents.dtype, times.dtype, tuple(inputs))
