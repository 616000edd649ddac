"""Batch work beside interactive work, and a worker that dies in the burst."""

from __future__ import annotations

from typing import Any

from bench.scheduler.part import Part
from bench.scheduler.pooling import pooled
from bench.scheduler.setup import Setup
from bench.scheduler.tables import percent, show_policies


def classes(setup: Setup) -> dict[str, Any]:
    """Two service classes at 130 %, and a worker that dies in the burst at 95 %."""
    trace = setup.burst
    over, under = (trace.scaled_to(peak * setup.capacity) for peak in (1.3, 0.95))
    plain = setup.run("argus", setup.work(over, setup.seed))
    mixed = setup.run("argus", setup.work(over, setup.seed, batch_share=0.25))
    dead = setup.run("argus", setup.work(under, setup.seed), failures=((260.0, 0, 120.0),))
    return {
        "all interactive": pooled([plain]),
        "a quarter batch": {**pooled([mixed]), "batch": mixed.batch, "evictions": mixed.ticks["evictions"]},
        "one of eight workers dead for 120 s": pooled([dead]),
    }


def show_classes(data: dict[str, Any]) -> str:
    quarter = data["a quarter batch"]
    batch = quarter["batch"]
    said = (
        f"Of {batch['requests']} batch requests {batch['served']} were served, {batch['late']} past their window, at "
        f"mean quality {percent(batch['quality_mean'])} %; they gave up their place {quarter['evictions']} times."
    )
    return f"{show_policies({'policies': data})}\n\n{said}"


PART = Part(classes, show_classes, "Service classes and a dead worker", "Twitter's burst at 130 % and at 95 %.")
