"""Fair shares: whose turn it is, and how much of a tenant may wait in front, while several want the devices.

The next place goes to the tenant that would run least for its weight with one more (the highest-averages rule of
d'Hondt: over time each runs in proportion to its weight, and who asks for less is never kept waiting by who asks for
more). And each tenant may have in front as many waiting requests as its share can have in time; what it sends beyond
that is set aside, fills what others leave, and gives way to them at the next step. So a flood costs who sends it: it is
no demand that a plan lowers levels for, and no queue that others stand in. Of a flood next to nothing could be in time:
it is set aside whole.

With one tenant there is one turn and no bound: nothing is changed. Pure functions; live and simulated alike.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace

from scheduler.policies.decisions import LoadState
from scheduler.policies.latency import LatencyTable

ACTIVE_S = 60.0  # a tenant wants the devices for so long after it sent something
USUAL = 1.0  # weight of a tenant that has no row
FLOOD = 10  # times what its share can have in time


def turns(tenants: Collection[str], running: Mapping[str, int], weights: Mapping[str, float]) -> list[str]:
    """Tenants that wait, in the order in which they are offered a place."""
    return sorted(tenants, key=lambda each: ((running.get(each, 0) + 1) / weights.get(each, USUAL), each))


def shares(tenants: Collection[str], weights: Mapping[str, float]) -> dict[str, float]:
    """The share of the devices of each tenant that wants them."""
    total = sum(weights.get(each, USUAL) for each in tenants)
    return {each: weights.get(each, USUAL) / total for each in tenants}


def allowances(tenants: Collection[str], weights: Mapping[str, float], in_time: float) -> dict[str, int]:
    """How many requests of each tenant may wait in front, of `in_time` that all can have in time; none where there is
    but one tenant."""
    if len(tenants) < 2:
        return {}
    return {each: max(1, math.floor(share * in_time)) for each, share in shares(tenants, weights).items()}


def is_flood(waiting: int, allowance: int) -> bool:
    """Whether so little of what a tenant sent at once can be in time that none of it is to wait in front: others'
    requests would be drawn beside those few, and levels lowered for them, in the very seconds after it came."""
    return waiting > FLOOD * allowance


def in_time(latencies: LatencyTable, workers: Mapping[str, int]) -> float:
    """How many requests the workers can have before another, all in time, by what they hold."""
    return sum(latencies.depth.get(model, 0.0) * count for model, count in workers.items())


def as_its_own(state: LoadState, model: str, waiting: int, share: float) -> LoadState:
    """The load as a tenant's requests are to see it: as if all the workers were theirs, and everybody like them."""
    return replace(state, waiting={**state.waiting, model: math.ceil(waiting / share)})
