"""What every level costs on a device, measured on the real models: the profile that the planner works from.

Loading, encoding, steps by batch size, decoding and fetching a cached latent are each timed on the device, medians of
several runs. The rest follows from them: one request alone takes encode + fetch + steps + decode; the throughput of a
device is 60 s over the device time of a request at its best batch size, encoding and decoding included.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import torch

from core import devices
from core.families import Family
from core.levels import Level
from core.measured import measured_file
from workers.engine.loading import configured_dtype
from workers.measure.hardware import hardware
from workers.measure.model_cost import SIZES, ModelCost, measure_model

VERSION = 1  # of the file's layout
PARTS = ("levels", "by_name")  # of a profile: what is planned with, and what is drawn by name alone

#: `progress(done, total, what)` is called before each measurement.
Progress = Callable[[int, int, str], None]


def measure(
    family: Family,
    device: str = "cpu",
    *,
    dtype: torch.dtype | None = None,
    sizes: Sequence[int] = SIZES,
    repeats: int = 5,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure every model of a family on a device; returns its profile, as `profiles/<family>/<device>.json` has it."""
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


def profile_of(family: Family, costs: dict[str, ModelCost], device: str, dtype: torch.dtype) -> dict[str, Any]:
    """The profile file's content from what was measured, with the hardware and versions; by-name levels stand apart."""
    quality, levels = mean_quality(family), [level for level in family.levels.values() if level.model in costs]
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
        "memory_mb": devices.memory_mb(device),
        "out_of_memory": {model: cost.out_of_memory_at for model, cost in costs.items() if cost.out_of_memory_at},
        "levels": [_level(family, level, costs[level.model], quality) for level in levels if not level.by_name],
        "by_name": [_level(family, level, costs[level.model], quality) for level in levels if level.by_name],
    }


def added_to(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """A profile with levels of another one put in, each with its own date: the rest stays as it was measured."""
    new = {level["id"]: {**level, "measured": now["measured"]} for part in PARTS for level in now[part]}
    found = {}
    for part in PARTS:
        old = [level for level in before.get(part, []) if level["id"] not in new]
        found[part] = [*old, *(new[level["id"]] for level in now[part])]
    return {**before, **found}


def mean_quality(family: Family) -> dict[str, float]:
    """Mean relative quality by level, where a quality table of the family exists; of an approximation 1 at most."""
    file = measured_file(family.id, "quality.csv")
    if not file.is_file():
        return {}
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    levels = [name for name in (rows[0] if rows else {}) if name != "prompt"]
    return {name: min(1.0, statistics.fmean(float(row[name]) for row in rows)) for name in levels}


def _level(family: Family, level: Level, cost: ModelCost, quality: dict[str, float]) -> dict[str, Any]:
    total, skip = level.schedule(family.defaults.steps, family.defaults.steps)
    run, fetch_s = total - skip, cost.fetch_s if level.looks_up else 0.0
    alone_s = cost.feature_cache_step_s.get(level.id)  # such rows share no forwards
    step_s = cost.mean_step_s.get(level.id, cost.step_s)
    step_s = step_s if alone_s is None else {size: size * alone_s for size in step_s}
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
        **({"lora_ratio": cost.lora_ratio} if cost.lora_ratio is not None and not level.reuses_features else {}),
        "memory_mb": cost.memory_mb,
        "activation_mb_per_row": cost.activation_mb_per_row,
        "decode_mb": cost.decode_mb,
    }
