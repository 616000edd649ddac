"""From what a tick observed to what the planner is asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from scheduler.planning.instance import Instance, Plan, PromptClass
from scheduler.policies.cluster import Cluster
from scheduler.policies.decisions import NAMED, Observation

OWN_WORKER = 0.5  # workers that a level asked for by name must need before one is planned for it
RESERVED_MAX = 0.5  # share of all workers that is kept free for the others of those levels, at most


def instance(
    cluster: Cluster, observed: Observation, classes: tuple[PromptClass, ...], headroom: float = 1.0
) -> Instance:
    """The planner's instance. Workers that hold, or are pinned to, a model that cannot run there (any more) are free.

    A memory limit under which no model fits at all is not believed.
    """
    levels = cluster.planned_levels()
    sizes = cluster.memory_mb
    runs = {d: {level.holds for level in levels if d in level.throughput} for d in observed.workers}
    memory = {d: mb for d, mb in observed.memory.items() if any(sizes[m] <= mb for m in runs.get(d, ()))}
    fits = {d: {m for m in models if sizes[m] <= memory.get(d, math.inf)} for d, models in runs.items()}
    current, pinned, loading = (
        {d: {m: n for m, n in by.items() if m in fits.get(d, ())} for d, by in counts.items()}
        for counts in (observed.current, observed.pinned, observed.loading)
    )
    named, reserved = named_classes(cluster, observed)
    return Instance(
        devices=observed.workers,
        levels=levels,
        classes=(*classes, *named),
        current=current,
        switch_cost=observed.switch_cost,
        headroom=headroom / (1 - reserved),
        pinned=pinned,
        memory=memory,
        model_memory=sizes if memory else {},
        load_share=observed.load_share,
        loading=loading,
        max_moves=observed.max_moves,
    )


def named_classes(cluster: Cluster, observed: Observation) -> tuple[list[PromptClass], float]:
    """The demand for levels asked for by name: classes that can be served there and nowhere else.

    Planned workers hold one model each, real ones may hold several. So a level that needs less than half a worker is no
    class, which could turn a whole worker over to it: its time is kept free, as a share of all workers'.
    """
    total = sum(observed.workers.values())
    quality = dict(zip(cluster.levels, cluster.quality, strict=True))
    classes, reserved = [], 0.0
    for level, rate in observed.named.items():
        if level not in quality or rate <= 0:
            continue
        place = cluster.levels.index(level)
        needed = rate * min(cluster.seconds(device)[place] for device in cluster.profiles)
        if needed < OWN_WORKER:
            reserved += needed / total
        else:
            classes.append(PromptClass(f"{NAMED}{level}", 60 * rate, {level: quality[level]}))
    return classes, min(reserved, RESERVED_MAX)


def prompt_agnostic_plan(cluster: Cluster, observed: Observation, demand: float, headroom: float = 1.0) -> Plan:
    """The optimum without knowing prompts: one class with the profile's mean qualities (PAC)."""
    from scheduler.planning.milp import solve  # with SciPy, as in `scheduler.planning.align`

    quality = dict(zip(cluster.levels, cluster.quality, strict=True))
    plan = solve(instance(cluster, observed, (PromptClass("all", demand, quality),), headroom))
    return replace(plan, workers={d: _without_idle(cluster, plan, models) for d, models in plan.workers.items()})


def _without_idle(cluster: Cluster, plan: Plan, models: Mapping[str, int]) -> dict[str, int]:
    """Workers whose level takes no load join the best level that does: the optimum is indifferent, queues are not."""
    loaded = {cluster.holds(level) for level in plan.load}
    used = {model: n for model, n in models.items() if model in loaded}
    if not used:
        return dict(models)
    best = max(used, key=lambda model: max(cluster.quality[i] for i in cluster.models[model]))
    used[best] += sum(n for model, n in models.items() if model not in loaded)
    return used
