"""One forward and one sampler step for many rows, or a turn of one row's mode.

Where they fail, fewer rows are tried, down to the row at fault; where a mode fails, serial steps.
"""

from __future__ import annotations

import logging
from collections import Counter

import torch
from torch import Tensor

from workers.engine import clean_latents
from workers.engine.faults import as_engine_error, is_device_failure, is_out_of_memory, release_memory
from workers.engine.running_batch import RunningBatch

log = logging.getLogger(__name__)


def predict(batch: RunningBatch, counts: Counter[str]) -> Tensor:
    """Predictions [n, …] for the n rows of a batch. Rows whose forward fails even alone get their `error` set."""
    parts = [part for start, stop in batch.forwards() for part in _forward(batch, start, stop, counts)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def turn_in_mode(batch: RunningBatch, counts: Counter[str]) -> bool:
    """Whether a batch took a turn of a mode, which its one row is in. Where that fails serial steps go on from the last
    whole turn, and show whether the row itself is at fault; a row of a kind of its own fails."""
    request = batch.requests[0]
    if request.parallel is None or not request.in_mode:
        return False
    before = request.row.sampler.index
    try:
        request.parallel.turn(batch.adapter, batch.rows(0, 1))
    except Exception as error:
        _shortage(error, counts, f"a turn of {request.parallel.way.mode}", 1)
        if request.parallel.way.required:
            request.error = as_engine_error(error)
            return True
        request.parallel.end(getattr(error, "message", str(error) or repr(error)))
        return False
    request.batch_sizes += [1] * (request.row.sampler.index - before)
    return True


def advance(batch: RunningBatch, predictions: Tensor, counts: Counter[str]) -> None:
    """One sampler step of every row, in one operation; where that fails, of each row alone."""
    clean_latents.show(batch, predictions)
    before = [request.row.sampler.index for request in batch.requests]
    try:
        batch.adapter.advance(batch.rows(0, len(batch)), predictions)
        return
    except Exception as error:
        _shortage(error, counts, "a sampler step", len(batch))
    for index, request in enumerate(batch.requests):
        if request.row.sampler.index > before[index]:
            continue
        try:
            batch.adapter.advance(batch.rows(index, index + 1), predictions[index : index + 1])
        except Exception as error:
            _shortage(error, counts, "a sampler step", 1)
            request.error = request.error or as_engine_error(error)


def _forward(batch: RunningBatch, start: int, stop: int, counts: Counter[str]) -> list[Tensor]:
    rows = stop - start
    try:
        predictions = batch.adapter.denoise(batch.rows(start, stop))
    except Exception as error:
        short = _shortage(error, counts, "a forward", rows)
        if rows == 1:
            batch.requests[start].error = as_engine_error(error)
            return [torch.zeros_like(batch.latents[start:stop])]
    else:
        counts["forwards"] += 1
        for request in batch.requests[start:stop]:
            request.batch_sizes.append(rows)
        return [predictions]
    if short:
        batch.limit.shrink(rows)
        for request in batch.requests:
            request.add_reason(f"out of memory at {rows} rows, continued with {batch.limit.rows}")
    middle = (start + stop) // 2
    return _forward(batch, start, middle, counts) + _forward(batch, middle, stop, counts)


def _shortage(error: Exception, counts: Counter[str], what: str, rows: int) -> bool:
    """Whether this was a lack of memory, which is released then. A device that has failed fails everything: raised."""
    if is_device_failure(error):
        raise error
    log.warning("%s of %d rows failed (%r)", what, rows, error)
    if not is_out_of_memory(error):
        return False
    counts["out_of_memory"] += 1
    release_memory()
    return True
