"""Batch work beside interactive work, and a worker that dies in the burst."""

from __future__ import annotations

from typing import Any

from bench.scheduler.intervals import drawn, shown
from bench.scheduler.parallel import each
from bench.scheduler.part import Part
from bench.scheduler.pooling import pooled
from bench.scheduler.setup import Setup
from bench.scheduler.tables import AGAIN, show_policies
from scheduler.simulate import Report

MIXED = "a quarter batch"
RUNS: dict[str, tuple[float, dict[str, Any], dict[str, Any]]] = {  # peak of capacity; of the workload, of the run
    "all interactive": (1.3, {}, {}),
    MIXED: (1.3, {"batch_share": 0.25}, {}),
    "one of eight workers dead for 120 s": (0.95, {}, {"failures": ((260.0, 0, 120.0),)}),
}
BATCH = ("requests", "served", "late", "quality_mean")


def classes(setup: Setup) -> dict[str, Any]:
    """Two service classes at 130 %, and a worker that dies in the burst at 95 %."""
    runs = {name: each(setup, _run, [(name, seed) for seed in setup.seeds]) for name in RUNS}
    rows = {name: pooled(reports) for name, reports in runs.items()}
    batch = {key: [report.batch[key] for report in runs[MIXED]] for key in BATCH}
    evictions = [report.ticks["evictions"] for report in runs[MIXED]]
    return {"seeds": list(setup.seeds), "policies": rows, "batch": {**batch, "evictions": evictions}}


def _run(setup: Setup, name: str, seed: int) -> Report:
    peak, of_work, of_run = RUNS[name]
    return setup.run("argus", setup.work(setup.burst.scaled_to(peak * setup.capacity), seed, **of_work), **of_run)


def show_classes(data: dict[str, Any]) -> str:
    if "seeds" not in data:
        return AGAIN
    batch = data["batch"]
    requests, served, late, evictions = (int(sum(batch[key])) for key in ("requests", "served", "late", "evictions"))
    said = (
        f"Of {requests} batch requests {served} were served, {late} past their window, at mean quality "
        f"{shown(drawn(batch['quality_mean'], batch['served']))} %; they gave up their place {evictions} times."
    )
    return f"Seeds run: {len(data['seeds'])}.\n\n{show_policies(data)}\n\n{said}"


PART = Part(classes, show_classes, "Service classes and a dead worker", "Twitter's burst at 130 % and at 95 %.")
