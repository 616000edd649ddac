"""One forward for many rows. Where it fails, each half is tried, down to the row at fault."""

from __future__ import annotations

import logging
from collections import Counter

import torch
from torch import Tensor

from workers.engine.faults import as_engine_error, is_out_of_memory, release_memory
from workers.engine.running_batch import RunningBatch

log = logging.getLogger(__name__)


def predict(batch: RunningBatch, counts: Counter[str]) -> Tensor:
    """Predictions [n, …] for the n rows of a batch. Rows whose forward fails even alone get their `error` set."""
    return torch.cat([part for start, stop in batch.forwards() for part in _forward(batch, start, stop, counts)])


def _forward(batch: RunningBatch, start: int, stop: int, counts: Counter[str]) -> list[Tensor]:
    try:
        predictions = batch.adapter.denoise(batch.rows(start, stop))
    except Exception as error:
        if stop - start == 1:
            batch.requests[start].error = as_engine_error(error)
            return [torch.zeros_like(batch.latents[start:stop])]
        log.warning("forward of %d rows failed (%r): trying halves", stop - start, error)
        out_of_memory = is_out_of_memory(error)
    else:
        counts["forwards"] += 1
        for request in batch.requests[start:stop]:
            request.batch_sizes.append(stop - start)
        return [predictions]
    if out_of_memory:
        counts["out_of_memory"] += 1
        _shrink(batch, stop - start)
    middle = (start + stop) // 2
    return _forward(batch, start, middle, counts) + _forward(batch, middle, stop, counts)


def _shrink(batch: RunningBatch, rows: int) -> None:
    """So many rows did not fit: half of them from now on."""
    batch.max_rows = max(1, min(batch.max_rows, rows // 2))
    for request in batch.requests:
        request.add_reason(f"out of memory at {rows} rows, continued with {batch.max_rows}")
    release_memory()
