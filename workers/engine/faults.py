"""What went wrong, by the error that the model, the device or the host raised."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import torch

from core.errors import ArgusError, DeviceFailed, EngineError, OutOfMemory

T = TypeVar("T")

#: Parts of the messages of errors that a lack of memory shows as. cuBLAS and cuDNN have codes of their own for it, and
#: say "not initialized" or "no engine" where their handle or workspace could not be allocated.
MEMORY = (
    "not enough memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "unable to find an engine to execute this computation",
)

#: Parts of the messages of CUDA errors after which the context is unusable: every later call fails with the same error.
STICKY = (
    "illegal memory access",
    "illegal instruction",
    "illegal address",
    "misaligned address",
    "invalid program counter",
    "device-side assert",
    "unspecified launch failure",
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "launch timed out",
    "hardware stack error",
    "MMU fault",
    "CUDA-capable device(s) is/are busy or unavailable",
    "GPU is lost",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device (or the host) ran out of memory."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or _says(error, MEMORY)


def is_device_failure(error: BaseException) -> bool:
    """Whether the device can't be used by this process any more."""
    return isinstance(error, DeviceFailed) or (isinstance(error, RuntimeError) and _says(error, STICKY))


def release_memory() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        with suppress(RuntimeError):  # on a device that has failed
            torch.cuda.empty_cache()


def again_with_memory(work: Callable[[], T]) -> T:
    """Do it; out of memory, once more when what nothing refers to was given back."""
    try:
        return work()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    release_memory()
    return work()


def as_engine_error(error: Exception) -> ArgusError:
    """The error as the record shall name it; errors with a code of their own stay."""
    if isinstance(error, ArgusError):
        return error
    if is_out_of_memory(error):
        return OutOfMemory("The request does not fit into the device's memory even alone; use a smaller size or level.")
    if is_device_failure(error):
        failure: EngineError = DeviceFailed(f"The device failed ({_first_line(error)}); its worker starts again.")
    else:
        failure = EngineError(f"The model failed on this request: {error!r}.")
    failure.__cause__ = error
    return failure


def _says(error: BaseException, parts: tuple[str, ...]) -> bool:
    return any(part in str(error) for part in parts)


def _first_line(error: BaseException) -> str:
    return (str(error) or repr(error)).splitlines()[0]
