"""How an engine makes its adapters: weights on its device in its dtype, on CUDA compiled, recorded, warmed up."""

from __future__ import annotations

import logging
import time

import torch

from core.families import Family, Model
from core.settings import settings
from workers.engine.faults import is_out_of_memory, release_memory
from workers.engine.request import GenerationRequest
from workers.pipelines import expected_mb, load_adapter
from workers.pipelines.attention import fastest
from workers.pipelines.base import Adapter
from workers.pipelines.fastest_forward import FastestForward, Mode, Ways
from workers.pipelines.graphs import CudaRecorder, Recorder
from workers.pipelines.rows import Batch, Row, Start

log = logging.getLogger(__name__)


def default_dtype(device: str) -> torch.dtype:
    """float32 on the CPU, bfloat16 on CUDA."""
    return torch.bfloat16 if device.startswith("cuda") else torch.float32


def configured_ways() -> Ways:
    """As ARGUS_COMPILE, ARGUS_CUDA_GRAPHS and ARGUS_ATTENTION have them."""
    return Ways(settings().compile, settings().cuda_graphs, settings().attention)


def configured_dtype(device: str) -> torch.dtype:
    """The denoisers' dtype on a device as ARGUS_DTYPE has it."""
    name = settings().dtype
    return default_dtype(device) if name == "auto" else getattr(torch, name)


class ModelLoader:
    """Loads the models of a family for one device.

    Args:
        ways: to run a forward, of which the fastest is measured.
    """

    def __init__(
        self,
        family: Family,
        device: str,
        dtype: torch.dtype | None,
        max_batch: int,
        ways: Ways | None = None,
    ) -> None:
        self.family, self.device, self.max_batch = family, device, max_batch
        self.ways = ways or Ways()
        self.dtype = dtype or default_dtype(device)

    def load(self, model: Model) -> Adapter:
        """Weights and all; on CUDA the first request meets warm kernels, at any number of rows."""
        adapter = load_adapter(model, self.device, self.dtype)
        if self.device.startswith("cuda"):
            request, recorder = self.warm_up_request(model), CudaRecorder(adapter.device)
            adapter.attention = self.ways.attention
            if adapter.attention == "auto":
                adapter.attention = fastest_attention(adapter, request, recorder)
            if adapter.autocast_dtype is None:
                adapter.fastest = fastest_forward(adapter, recorder, self.ways.compiling, self.ways.graphs)
            adapter.rows_that_fit = warm_up(adapter, request, self.max_batch)
            torch.cuda.synchronize(adapter.device)
        return adapter

    def expected_mb(self, model: Model) -> float:
        """What a model's weights will take, read before anything is loaded."""
        return expected_mb(model, self.dtype)

    def warm_up_request(self, model: Model) -> GenerationRequest:
        """A request as most are."""
        size, level = self.family.defaults, self.family.levels_of(model.id)[0]
        guidance = size.guidance if level.guidance is None else level.guidance
        return GenerationRequest("warm-up", "warm-up", 0, level, 2, guidance, size.width, size.height)


def fastest_forward(adapter: Adapter, recorder: Recorder, compiling: Mode, graphs: Mode) -> FastestForward | None:
    """What measures the ways to run the adapter's forward; None where only one is wanted."""
    if compiling == graphs == "off":
        return None
    twin = None if compiling == "off" else adapter.compiled()
    adapter.compiles = twin is not None
    return FastestForward(adapter.attended, recorder, graphs, twin.attended if twin else None, compiling)


@torch.inference_mode()
def fastest_attention(adapter: Adapter, request: GenerationRequest, recorder: Recorder) -> str:
    """The back-end with which one row's forward takes least time; PyTorch's own order where none is clearly ahead."""
    given = Batch.of([adapter.prepare(request, Start(request.steps), request.guidance)]).halves()

    def seconds(name: str) -> float:
        adapter.attention = name
        recorder.wait()
        began = time.perf_counter()
        adapter.attended(*given)
        recorder.wait()
        return time.perf_counter() - began

    chosen = fastest(seconds)
    log.info("model %s: attention %s", adapter.model.id, chosen)
    return chosen


def sizes_up_to(most: int) -> list[int]:
    """1, 2, 4, … and `most`: the numbers of rows that are warmed up and recorded."""
    return sorted({2**n for n in range(most.bit_length()) if 2**n <= most} | {most})


def warm_up(adapter: Adapter, request: GenerationRequest, most: int) -> int:
    """One step of every size up to `most` rows, and one decode.

    Returns the largest that memory sufficed for, at least 1: with none at all a request tells more than a model that
    does not load.
    """
    row = adapter.prepare(request, Start(request.steps), request.guidance)
    fitted = 1
    for rows in sizes_up_to(most):
        try:
            _step(adapter, row, rows)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            log.warning("model %s: %d rows do not fit, continuing with %d", adapter.model.id, rows, fitted)
            release_memory()
            break
        fitted = rows
    try:
        adapter.decode(row.latent, row.size)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        release_memory()  # decoding a request tries less
    return fitted


@torch.inference_mode()
def _step(adapter: Adapter, row: Row, rows: int) -> None:
    """Denoise so many rows once; where several ways are to be tried, measure them."""
    batch = Batch.of([row] * rows)
    adapter.denoise(batch)
    if adapter.fastest is not None:
        adapter.fastest.measure(*batch.halves())
