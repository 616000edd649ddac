"""CUDA graphs: a forward recorded once a batch size, then replayed.

A small network leaves the GPU idle while the host launches its next kernels: then a step takes as long with one row as
with eight. A graph launches them all at once. What is worth recording is measured in `fastest_forward.py`.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

Replay = Callable[[], Tensor]


class Recorder(Protocol):
    """Records a piece of work on fixed tensors."""

    def record(self, work: Replay) -> Replay:
        """Answers what replays it; every replay answers the same tensor, with new content."""

    def wait(self) -> None:
        """Until the device has done what it was asked."""

    def takes(self, work: Replay) -> tuple[float, float]:
        """Bytes that the work takes at its height, which a recorded one keeps, and bytes that are free."""


class CudaRecorder:
    """Records CUDA graphs; those of one network share their memory, as only one of them runs at a time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._graphs: weakref.WeakSet[Any] = weakref.WeakSet()  # a pool lives as long as one of its graphs

    def record(self, work: Replay) -> Replay:
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

    def takes(self, work: Replay) -> tuple[float, float]:
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        work()
        peak = torch.cuda.max_memory_allocated(self.device) - before
        free, _ = torch.cuda.mem_get_info(self.device)
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return peak, free + unused
