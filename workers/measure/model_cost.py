"""What one model takes on a device: loading, encoding, steps by batch size, decoding, fetching a cached latent."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import structlog
import torch

from core.cached_latents import Kind
from core.families import Family
from core.levels import Level
from core.loras import LoraUse
from core.reuse_plans import read_plan
from workers.engine.faults import is_out_of_memory, release_memory
from workers.engine.loading import ModelLoader, configured_ways
from workers.engine.lora_store import LoraStore
from workers.engine.request import GenerationRequest
from workers.latent_cache.store import FolderStore, decode_entry, encode_entry
from workers.measure.whole_runs import final_latents
from workers.pipelines.base import Adapter
from workers.pipelines.reuse import Reuse
from workers.pipelines.rows import Batch, Row, Start
from workers.strategies import begin

log = structlog.get_logger(__name__)

SIZES = (1, 2, 4, 8)
PROMPT = "a red fox in the snow at dawn, oil on canvas"


@dataclass(frozen=True)
class ModelCost:
    """One model on one device, in seconds and MB; `step_s` by rows at the family's default guidance.

    `feature_cache_step_s` is the mean step of a whole run at each `fc` level: how much it reuses depends on the prompt.
    `mean_step_s` is the same at each `cq` and `sub` level by rows, which are all at the same phase: some of their steps
    reuse features, or have half the size.
    `activation_mb_per_row` and `decode_mb` are what steps and decoding take beside the weights (0 where that can't be
    measured). `out_of_memory_at` is the first number of rows that did not fit, if one was tried.
    """

    load_s: float
    memory_mb: float
    encode_s: float
    decode_s: float
    fetch_s: float
    step_s: dict[int, float]
    feature_cache_step_s: dict[str, float] = field(default_factory=dict)
    mean_step_s: dict[str, dict[int, float]] = field(default_factory=dict)
    activation_mb_per_row: float = 0.0
    decode_mb: float = 0.0
    out_of_memory_at: int | None = None
    lora_ratio: float | None = None  # of a step of one row with a LoRA; None of models that have none


def measure_model(
    family: Family,
    model_id: str,
    device: str,
    dtype: torch.dtype,
    sizes: Sequence[int] = SIZES,
    repeats: int = 5,
    load: Callable[[], Adapter] | None = None,
) -> ModelCost:
    """Load one model as a worker does, time what it does, and let go of it.

    Raises:
        OutOfMemory: not even one row fits.
    """
    loader = ModelLoader(family, device, dtype, max(sizes), configured_ways())
    began = time.perf_counter()
    adapter = load() if load else loader.load(family.models[model_id])
    load_s = time.perf_counter() - began
    request, level = _request(family, model_id), family.levels_of(model_id)[0]
    guidance = family.defaults.guidance if level.guidance is None else level.guidance
    row = adapter.prepare(request, Start(request.steps), guidance)
    new = (
        replace(request, prompt=f"{PROMPT}, {model_id} {n}") for n in range(repeats)
    )  # one seen before costs nothing
    encode_s = median_seconds(lambda: adapter.prepare(next(new), Start(request.steps), guidance), repeats, adapter)
    decode_mb = _peak_mb(adapter, lambda: adapter.decode(row.latent, row.size))
    decode_s = median_seconds(lambda: adapter.decode(row.latent, row.size), repeats, adapter)
    step_s, peak_mb, failed_at = _steps(adapter, request, guidance, sizes, repeats)
    cached = [level for level in family.levels_of(model_id) if "fc" in level.strategies]
    return ModelCost(
        load_s=load_s,
        memory_mb=adapter.memory_mb,
        encode_s=encode_s,
        decode_s=decode_s,
        fetch_s=_fetch(row, repeats),
        step_s=step_s,
        feature_cache_step_s={level.id: _feature_cache_step(adapter, level, request, guidance) for level in cached},
        mean_step_s=_mean_steps(adapter, family, request, guidance, list(step_s)),
        activation_mb_per_row=_per_row(peak_mb),
        decode_mb=decode_mb,
        out_of_memory_at=failed_at,
        lora_ratio=_lora_ratio(adapter, family, request, guidance, repeats),
    )


def _steps(
    adapter: Adapter, request: GenerationRequest, guidance: float, sizes: Sequence[int], repeats: int
) -> tuple[dict[int, float], dict[int, float], int | None]:
    """Seconds and MB beside the weights by rows, up to the first number of rows that does not fit, which is named."""
    step_s: dict[int, float] = {}
    peak_mb: dict[int, float] = {}
    for size in sorted(sizes):
        try:
            peak_mb[size] = _peak_mb(adapter, lambda size=size: _step(adapter, request, guidance, size, 1))  # type: ignore[misc]
            step_s[size] = _step(adapter, request, guidance, size, repeats)
        except Exception as error:
            if not is_out_of_memory(error) or not step_s:
                raise
            log.warning("out of memory: larger batches are not measured", model=adapter.model.id, rows=size)
            release_memory()
            return step_s, {rows: peak_mb[rows] for rows in step_s}, size
    return step_s, peak_mb, None


def _lora_ratio(
    adapter: Adapter, family: Family, request: GenerationRequest, guidance: float, repeats: int
) -> float | None:
    """What a step of one row takes with the first of the family's LoRAs for this model, over one without."""
    lora = next((lora for lora in family.loras.values() if adapter.model.id in lora.models), None)
    if lora is None or request.level.reuses_features:
        return None
    acting = LoraStore(family).acting(adapter, request.level, (LoraUse(lora.id, lora.weight),))
    with_lora, without = (_step(each, request, guidance, 1, repeats) for each in (acting, adapter))
    return with_lora / without


def _per_row(peak_mb: dict[int, float]) -> float:
    """MB that one more row takes."""
    least, most = min(peak_mb), max(peak_mb)
    return peak_mb[most] / most if least == most else (peak_mb[most] - peak_mb[least]) / (most - least)


def _peak_mb(adapter: Adapter, work: Callable[[], Any]) -> float:
    """MB that a piece of work takes at its height; 0 on the CPU, where nobody counts."""
    if adapter.device.type != "cuda":
        return 0.0
    release_memory()
    torch.cuda.reset_peak_memory_stats(adapter.device)
    before = torch.cuda.memory_allocated(adapter.device)
    work()
    torch.cuda.synchronize(adapter.device)
    return (torch.cuda.max_memory_allocated(adapter.device) - before) / 1e6


def _request(family: Family, model_id: str) -> GenerationRequest:
    level, defaults = family.levels_of(model_id)[0], family.defaults
    steps, _ = level.schedule(defaults.steps, defaults.steps)
    return GenerationRequest("profile", PROMPT, 0, level, steps, defaults.guidance, defaults.width, defaults.height)


def _step(adapter: Adapter, request: GenerationRequest, guidance: float, size: int, repeats: int) -> float:
    """Seconds of one step with so many rows, denoising and advancing; the first, colder one is not counted."""
    rows = [adapter.prepare(request, Start(repeats + 2), guidance) for _ in range(size)]
    batch = Batch.of(rows)

    def step() -> None:
        adapter.advance(batch, adapter.denoise(batch))

    step()
    return median_seconds(step, repeats, adapter)


def _feature_cache_step(adapter: Adapter, level: Level, request: GenerationRequest, guidance: float) -> float:
    """Mean seconds a step of one whole run at an `fc` level, after a run that warms the kernels."""
    adapter.add_feature_cache(level)
    runs = []
    for name in ("warm-up", "measured"):
        row = adapter.prepare(request, Start(request.steps), guidance)
        row.cache_context = adapter.feature_caches[level.id].context(name)
        batch = Batch.of([row])

        def run(row: Row = row, batch: Batch = batch) -> None:
            while not row.sampler.done:
                adapter.advance(batch, adapter.denoise(batch))

        runs.append(median_seconds(run, 1, adapter) / request.steps)
        row.cache_context.clear()
    return runs[-1]


def _mean_steps(
    adapter: Adapter, family: Family, request: GenerationRequest, guidance: float, sizes: Sequence[int]
) -> dict[str, dict[int, float]]:
    """Mean seconds a step of whole runs of so many rows at each `cq` and `sub` level, after one that warms kernels."""
    found: dict[str, dict[int, float]] = {}
    for level in family.levels_of(adapter.model.id):
        if level.varies:
            if "cq" in level.strategies:
                adapter.add_reuse(level, read_plan(level.calibration_location))
            start = _start(adapter, family, level, request, guidance)
            _mean_step(adapter, start, level, request, guidance, 1)
            found[level.id] = {size: _mean_step(adapter, start, level, request, guidance, size) for size in sizes}
    return found


def _start(adapter: Adapter, family: Family, level: Level, request: GenerationRequest, guidance: float) -> Start:
    """Where a request begins; one that may start from a cached latent from any latent, at all of its skip."""
    start = begin(replace(request, level=level), level, family)
    if not level.looks_up:
        return start
    _, skip = level.schedule(family.defaults.steps, family.defaults.steps)
    return replace(start, skip=skip, latent=adapter.prepare(request, Start(request.steps), guidance).latent)


def _mean_step(
    adapter: Adapter, start: Start, level: Level, request: GenerationRequest, guidance: float, size: int
) -> float:
    rows = [adapter.prepare(request, start, guidance) for _ in range(size)]
    for row in rows:
        row.reuse = Reuse(adapter.reuse_plans[level.id]) if "cq" in level.strategies else None
    seconds = median_seconds(lambda: final_latents(adapter, rows, [request] * size), 1, adapter)
    return seconds / (start.steps - start.skip)


def _fetch(row: Row, repeats: int) -> float:
    """Seconds to read one cached latent of this model from a folder and check it."""
    kind = Kind("profile", "", "", 0, 0, 0, "")
    with TemporaryDirectory() as folder:
        store = FolderStore(Path(folder))
        store.put("a-1", encode_entry(kind, 1, np.zeros(384, np.float32), torch.zeros_like(row.latent)))
        return median_seconds(lambda: decode_entry(store.get("a-1")), repeats)


def median_seconds(work: Callable[[], Any], repeats: int, adapter: Adapter | None = None) -> float:
    """Median seconds of a piece of work, to its end on the device."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        if adapter is not None and adapter.device.type == "cuda":
            torch.cuda.synchronize(adapter.device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
