"""What an engine counts and measures, as records and dashboards read it."""

from __future__ import annotations

from typing import Any

from workers.engine.batches import RunningBatches
from workers.engine.model_pool import ModelPool
from workers.engine.preemption import PreemptedStore
from workers.engine.registry import Registry
from workers.engine.step_costs import StepCosts
from workers.latent_cache.cache import LatentCache

COUNTED = ("submitted", "done", "failed", "steps", "forwards", "out_of_memory")


def of(
    registry: Registry,
    batches: RunningBatches,
    pool: ModelPool,
    costs: StepCosts,
    preempted: PreemptedStore,
    cache: LatentCache | None,
) -> dict[str, Any]:
    """Counters since the start, rows of a step on average, what runs and is held now, seconds a step, the cache's."""
    counts = registry.counts
    return {
        **{name: counts[name] for name in COUNTED},
        "rows_mean": counts["row_steps"] / counts["steps"] if counts["steps"] else 0.0,
        "running": batches.running(),
        "open": len(registry),
        "preempted": len(preempted.ids()),
        "models": pool.stats(),
        "loads": dict(pool.loads),
        "step_s": costs.stats(),
        "cache": cache.stats() if cache else None,
    }
