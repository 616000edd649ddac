"""Solve times of the planner."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.scheduler.part import Part
from bench.scheduler.setup import Setup
from bench.scheduler.tables import goal, goals, table
from scheduler.planning.milp import Instance, Level, PromptClass, solve


def planner(setup: Setup) -> dict[str, Any]:
    """Solve times: large fleets over model counts and loads, small ones, and the brute-force test's own instances."""
    rng = np.random.default_rng(setup.seed)
    loads = (0.5, 0.8, 0.95, 1.2)
    large = [fleet(rng, 4, 1000, models, 16, 32, load) for models in (1, 2, 4, 8, 16) for load in loads]
    small = [fleet(rng, 1, 8, 2, 6, 8, load) for load in loads for _ in range(10)]
    return {"large": timed(large), "small": timed(small)}


def timed(instances: Sequence[Instance]) -> dict[str, Any]:
    """Wall time as the solver sees its limit, and CPU time, which other work on the machine does not change."""
    plans, cpu = [], []
    for instance in instances:
        started = time.process_time()
        plans.append(solve(instance))
        cpu.append(time.process_time() - started)
    return {
        "instances": len(plans),
        "cpu_median": float(np.median(cpu)),
        "cpu_max": max(cpu),
        "seconds_max": max(p.seconds for p in plans),
        "gap_max": max(p.gap for p in plans),
        "optimal": sum(p.status == "optimal" for p in plans),
    }


def fleet(
    rng: np.random.Generator, types: int, workers: int, models: int, levels: int, classes: int, load: float
) -> Instance:
    """A random instance of this size at a share of its capacity, all workers holding the first model."""
    speed, base = rng.uniform(0.5, 2, types), rng.uniform(10, 30, models)
    gain = rng.uniform(1, 3, levels)
    lanes = [
        {f"d{d}": float(base[i % models] * gain[i] * speed[d] * rng.uniform(0.8, 1.2)) for d in range(types)}
        for i in range(levels)
    ]
    capacity = sum(workers // types * max(lane[f"d{d}"] for lane in lanes) for d in range(types))
    demand = rng.dirichlet(np.ones(classes)) * capacity * load
    loss = 0.05 * (gain - 1)
    prompts = [
        PromptClass(
            f"c{j}",
            float(demand[j]),
            {f"l{i}": float(max(0.0, 1 - loss[i] * rng.exponential())) for i in range(levels)},
            0.5 if j % 3 == 0 else 0.0,
        )
        for j in range(classes)
    ]
    made = tuple(Level(f"l{i}", lane, f"m{i % models}") for i, lane in enumerate(lanes))
    devices = {f"d{d}": workers // types for d in range(types)}
    return Instance(devices, made, tuple(prompts), {d: {"m0": n} for d, n in devices.items()})


def show_planner(data: dict[str, Any]) -> str:
    large, small = data["large"], data["small"]
    sizes = (("1,000 workers of 4 types, 16 levels, 32 classes", large), ("8 workers, 6 levels, 8 classes", small))
    cells = [
        (
            name,
            str(d["instances"]),
            str(d["optimal"]),
            f"{d['gap_max']:.1e}",
            *(f"{1000 * d[key]:.0f}" for key in ("cpu_median", "cpu_max", "seconds_max")),
        )
        for name, d in sizes
    ]
    checks = [
        goal(
            "large: optimal or ≤ 0.1 % gap in under 1 s",
            large["seconds_max"] < 1 and large["gap_max"] <= 1e-3,
            f"{large['seconds_max']:.2f} s, gap {large['gap_max']:.1e}",
        ),
        goal("small: under 50 ms (CPU)", small["cpu_max"] < 0.05, f"{1000 * small['cpu_max']:.0f} ms"),
        ("200 random small instances equal brute force", "`tests/scheduler/planning/test_milp.py`", "a test"),
    ]
    head = ("instance", "how many", "optimal", "largest gap", "median CPU ms", "longest CPU ms", "longest wall ms")
    return f"{table(head, cells)}\n\n{goals(checks)}"


PART = Part(
    planner,
    show_planner,
    "Planner",
    "Measured with one thread on a machine that had other work; wall time includes it.",
)
