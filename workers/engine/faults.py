"""What went wrong, by the error that the model, the device or the host raised."""

from __future__ import annotations

import gc

import torch

from core.errors import EngineError, OutOfMemory


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device (or the host) ran out of memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "not enough memory" in str(error)


def release_memory() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def as_engine_error(error: Exception) -> Exception:
    """The error as the record shall name it; errors with a code of their own stay."""
    if hasattr(error, "code"):
        return error
    if is_out_of_memory(error):
        return OutOfMemory("The request does not fit into the device's memory even alone; use a smaller size or level.")
    failure = EngineError(f"The model failed on this request: {error!r}.")
    failure.__cause__ = error
    return failure
