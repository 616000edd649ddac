"""One forward for many rows; where it fails, its two halves, down to the row at fault."""

from __future__ import annotations

import logging
from collections import Counter

import torch
from torch import Tensor

from core.errors import EngineError, OutOfMemory
from workers.engine.running_batch import Lane

log = logging.getLogger(__name__)


def predict(lane: Lane, counts: Counter[str]) -> Tensor:
    """Predictions for every row of a lane; rows whose forward fails even alone get their `error` set."""
    return torch.cat([part for start, stop in lane.batches() for part in _forward(lane, start, stop, counts)])


def _forward(lane: Lane, start: int, stop: int, counts: Counter[str]) -> list[Tensor]:
    try:
        predictions = lane.adapter.denoise(lane.batch(start, stop))
    except Exception as error:
        if stop - start == 1:
            lane.tickets[start].error = as_engine_error(error)
            return [torch.zeros_like(lane.latents[start:stop])]
        log.warning("forward of %d rows failed (%r): trying halves", stop - start, error)
        shortage = is_memory(error)
    else:
        counts["forwards"] += 1
        for ticket in lane.tickets[start:stop]:
            ticket.rows.append(stop - start)
        return [predictions]
    if shortage:
        counts["out_of_memory"] += 1
        _shrink(lane, stop - start)
    middle = (start + stop) // 2
    return _forward(lane, start, middle, counts) + _forward(lane, middle, stop, counts)


def _shrink(lane: Lane, rows: int) -> None:
    """So many rows did not fit: half of them from now on."""
    lane.limit = max(1, min(lane.limit, rows // 2))
    for ticket in lane.tickets:
        ticket.because(f"out of memory at {rows} rows, continued with {lane.limit}")
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_memory(error: Exception) -> bool:
    """Whether the device (or the host) ran out of memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "not enough memory" in str(error)


def as_engine_error(error: Exception) -> Exception:
    """The error as the record shall name it; those with a code of their own stay."""
    if hasattr(error, "code"):
        return error
    if is_memory(error):
        return OutOfMemory("The request does not fit into the device's memory even alone; use a smaller size or level.")
    failure = EngineError(f"The model failed on this request: {error!r}.")
    failure.__cause__ = error
    return failure
