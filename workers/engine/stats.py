"""What an engine counts, as records and dashboards read it."""

from __future__ import annotations

from typing import Any

from workers.engine.batches import RunningBatches
from workers.engine.registry import Registry

COUNTED = ("submitted", "done", "failed", "steps", "forwards", "out_of_memory")


def of_requests(registry: Registry, batches: RunningBatches) -> dict[str, Any]:
    """Counters since the start; rows of a step on average; how many run and how many are open now."""
    counts = registry.counts
    return {
        **{name: counts[name] for name in COUNTED},
        "rows_mean": counts["row_steps"] / counts["steps"] if counts["steps"] else 0.0,
        "running": batches.running(),
        "open": len(registry),
    }
