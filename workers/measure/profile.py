"""What every level costs on a device, measured on the real models: the profile that the planner works from.

Loading, encoding, steps by batch size, decoding and fetching a cached latent are each timed on the device, medians of
several runs. The rest follows from them: one request alone takes encode + fetch + steps + decode; the throughput of a
device is 60 s over the device time of a request at its best batch size, encoding and decoding included.
"""

from __future__ import annotations

import csv
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import diffusers
import numpy as np
import torch

from core import devices
from core.cached_latents import Kind
from core.families import Family, Level
from core.settings import ROOT
from workers.engine.loading import configured_dtype
from workers.engine.request import GenerationRequest
from workers.latent_cache.store import FolderStore, decode_entry, encode_entry
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter
from workers.pipelines.rows import Batch, Row, Start

SIZES = (1, 2, 4, 8)
PROMPT = "a red fox in the snow at dawn, oil on canvas"
VERSION = 1  # of the file's layout

#: `progress(done, total, what)` is called before each measurement.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class ModelCost:
    """One model on one device, in seconds; `step_s` by rows at the family's default guidance.

    `feature_cache_step_s` is the mean step of a whole run at each `fc` level: how much it reuses depends on the prompt.
    """

    load_s: float
    memory_mb: float
    encode_s: float
    decode_s: float
    fetch_s: float
    step_s: dict[int, float]
    feature_cache_step_s: dict[str, float] = field(default_factory=dict)


def measure(
    family: Family,
    device: str = "cpu",
    *,
    dtype: torch.dtype | None = None,
    sizes: Sequence[int] = SIZES,
    repeats: int = 5,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure every model of a family on a device and answer its profile, as `profiles/<family>/<device>.json` holds it."""
    dtype = dtype or configured_dtype(device)
    models = list(dict.fromkeys(level.model for level in family.levels.values()))
    costs: dict[str, ModelCost] = {}
    for number, model in enumerate(models):
        if progress:
            progress(number, len(models), model)
        costs[model] = measure_model(family, model, device, dtype, sizes, repeats)
    if progress:
        progress(len(models), len(models), "done")
    return profile_of(family, costs, device, dtype)


def measure_model(
    family: Family,
    model_id: str,
    device: str,
    dtype: torch.dtype,
    sizes: Sequence[int] = SIZES,
    repeats: int = 5,
) -> ModelCost:
    """Load one model, time what it does, and let go of it."""
    began = time.perf_counter()
    adapter = load_adapter(family.models[model_id], device, dtype)
    load_s = time.perf_counter() - began
    request = _request(family, model_id)
    guidance = _guidance(family, family.levels_of(model_id)[0])
    row = adapter.prepare(request, Start(request.steps), guidance)
    new = (
        replace(request, prompt=f"{PROMPT}, {model_id} {n}") for n in range(repeats)
    )  # one seen before costs nothing
    encode_s = _median(lambda: adapter.prepare(next(new), Start(request.steps), guidance), repeats, adapter)
    decode_s = _median(lambda: adapter.decode(row.latent, row.size), repeats, adapter)
    step_s = {size: _step(adapter, request, guidance, size, repeats) for size in sizes}
    cached = [level for level in family.levels_of(model_id) if level.strategy == "fc"]
    feature_cache_step_s = {level.id: _feature_cache_step(adapter, level, request, guidance) for level in cached}
    return ModelCost(load_s, adapter.memory_mb, encode_s, decode_s, _fetch(row, repeats), step_s, feature_cache_step_s)


def profile_of(family: Family, costs: dict[str, ModelCost], device: str, dtype: torch.dtype) -> dict[str, Any]:
    """The profile file's content from what was measured, with the hardware and versions."""
    quality = mean_quality(family)
    random = any(model.path.startswith("random:") for model in family.models.values())
    return {
        "family": family.id,
        "device": devices.device_type(device),
        "model": family.title,
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by argus profile",
        "version": VERSION,
        "family_version": family.version,
        "random_weights": random,
        "quality_measured": bool(quality),
        "hardware": hardware(device, dtype),
        "levels": [_level(family, level, costs[level.model], quality) for level in family.levels.values()],
    }


def mean_quality(family: Family, folder: Path = ROOT / "profiles") -> dict[str, float]:
    """Mean relative quality by level, where a quality table of the family exists."""
    file = folder / family.id / "quality.csv"
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    levels = [name for name in (rows[0] if rows else {}) if name != "prompt"]
    return {name: statistics.fmean(float(row[name]) for row in rows) for name in levels}


def _level(family: Family, level: Level, cost: ModelCost, quality: dict[str, float]) -> dict[str, Any]:
    total, skip = level.schedule(family.defaults.steps, family.defaults.steps)
    run, fetch_s = total - skip, cost.fetch_s if level.strategy == "ac" else 0.0
    alone_s = cost.feature_cache_step_s.get(level.id)  # such rows share no forwards
    step_s = cost.step_s if alone_s is None else {size: size * alone_s for size in cost.step_s}
    device_s = min(run * seconds / size for size, seconds in step_s.items()) + cost.encode_s + cost.decode_s
    return {
        "id": level.id,
        "strategy": level.strategy,
        "model": level.model,
        "steps": total,
        "skipped_steps": skip,
        "requests_per_minute": 60 / device_s,
        "latency_s": cost.encode_s + fetch_s + run * step_s[min(step_s)] + cost.decode_s,
        **({"quality": quality[level.id]} if level.id in quality else {}),
        "batch": [{"size": size, "step_s": seconds} for size, seconds in sorted(step_s.items())],
        "encode_s": cost.encode_s,
        "decode_s": cost.decode_s,
        "fetch_s": fetch_s,
        "load_s": cost.load_s,
        "memory_mb": cost.memory_mb,
    }


def _request(family: Family, model_id: str) -> GenerationRequest:
    level, defaults = family.levels_of(model_id)[0], family.defaults
    steps, _ = level.schedule(defaults.steps, defaults.steps)
    return GenerationRequest("profile", PROMPT, 0, level, steps, defaults.guidance, defaults.width, defaults.height)


def _guidance(family: Family, level: Level) -> float:
    return family.defaults.guidance if level.guidance is None else level.guidance


def _step(adapter: Adapter, request: GenerationRequest, guidance: float, size: int, repeats: int) -> float:
    """Seconds of one step with so many rows, denoising and advancing; the first, colder one is not counted."""
    rows = [adapter.prepare(request, Start(repeats + 2), guidance) for _ in range(size)]
    batch = Batch.of(rows)

    def step() -> None:
        adapter.advance(batch, adapter.denoise(batch))

    step()
    return _median(step, repeats, adapter)


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

        runs.append(_median(run, 1, adapter) / request.steps)
        row.cache_context.clear()
    return runs[-1]


def _fetch(row: Row, repeats: int) -> float:
    """Seconds to read one cached latent of this model from a folder and check it."""
    kind = Kind("profile", "", "", 0, 0, 0, "")
    with TemporaryDirectory() as folder:
        blobs = FolderStore(Path(folder))
        blobs.put("a-1", encode_entry(kind, 1, np.zeros(384, np.float32), torch.zeros_like(row.latent)))
        return _median(lambda: decode_entry(blobs.get("a-1")), repeats)


def _median(work: Callable[[], Any], repeats: int, adapter: Adapter | None = None) -> float:
    """Median seconds of a piece of work, to its end on the device."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        if adapter is not None and adapter.device.type == "cuda":
            torch.cuda.synchronize(adapter.device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def hardware(device: str, dtype: torch.dtype) -> dict[str, Any]:
    """What a measurement was made on and with."""
    on_gpu = device.startswith("cuda")
    return {
        "name": torch.cuda.get_device_name(device) if on_gpu else devices.processor(),
        "threads": torch.get_num_threads(),
        "dtype": str(dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "python": platform.python_version(),
    }
