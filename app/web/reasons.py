"""A plan and why, in sentences for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.schemas.plan import PlanOut
from app.web.filters import percent, plural
from core.families import Family
from core.profiles import Profile

LEAST = 0.05  # requests a minute that are told


def planned_load(decided: Mapping[str, Any]) -> list[tuple[str, float, float | None]]:
    """Planned load of each level in requests a minute, with the level's price, the biggest first."""
    plan = decided.get("plan", decided)
    load: dict[str, float] = {}
    for served in plan.get("served", {}).values():
        for level, rate in served.items():
            load[level] = load.get(level, 0.0) + rate
    prices = plan.get("prices", {})
    return sorted(((level, rate, prices.get(level)) for level, rate in load.items() if rate), key=lambda row: -row[1])


def why(plan: PlanOut, family: Family, measured: Mapping[str, Profile]) -> list[str]:
    """What was seen, what that means, what was decided; empty for a tick that failed or saw nothing."""
    seen, decided = plan.observed, plan.decided.get("plan", plan.decided)
    if "rate" not in seen:
        return []
    rate, workers = 60 * float(seen["rate"]), dict(seen.get("workers", {}))
    told = [_demand(rate, bool(seen.get("burst")), sum(seen.get("waiting", {}).values()))]
    if capacity := _exact(family, workers, measured):
        told.append(_capacity(family, rate, capacity, sum(workers.values())))
    told += _levels(family, planned_load(plan.decided))
    if (shed := sum(decided.get("shed", {}).values())) > LEAST:
        told.append(
            f"{shed:,.1f} requests a minute are more than the workers carry at any level: those that would lose most "
            "are set aside until there is room."
        )
    told += _moves(seen.get("current", {}), decided.get("workers", {}))
    return told


def _demand(rate: float, burst: bool, waiting: int) -> str:
    waits = f", and {plural(waiting, 'request')} that can still be in time {'wait' if waiting != 1 else 'waits'}"
    return f"About {rate:,.1f} requests a minute are expected{' (a burst)' if burst else ''}{waits if waiting else ''}."


def _exact(family: Family, workers: Mapping[str, int], measured: Mapping[str, Profile]) -> float:
    """Requests a minute that all workers carry at the reference level; 0 where that was not measured."""
    known = [(n, measured[kind]) for kind, n in workers.items() if kind in measured]
    costs = [n * p.level(family.reference).requests_per_minute for n, p in known if family.reference in p.ids]
    return sum(costs)


def _capacity(family: Family, rate: float, capacity: float, workers: int) -> str:
    carry = f"At {family.reference}, {plural(workers, 'worker')} {'carries' if workers == 1 else 'carry'}"
    told = f"{carry} about {capacity:,.0f} a minute as measured"
    return f"{told}: demand fits." if rate <= capacity else f"{told}: {rate / capacity:.1f} times that is wanted."


def _levels(family: Family, load: Sequence[tuple[str, float, float | None]]) -> list[str]:
    total = sum(rate for _, rate, _ in load)
    if total <= LEAST:
        return []
    shares = [f"{level} {percent(rate / total)}" for level, rate, _ in load if rate / total >= 0.005]
    if [level for level, *_ in load] == [family.reference]:
        return [f"So every prompt gets {family.reference}."]
    listed = ", ".join(shares)
    return [
        f"So the load is shared out: {listed}. A prompt gets the level whose predicted quality less price is highest."
    ]


def _moves(current: Mapping[str, Mapping[str, int]], planned: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Which models are held by more or fewer workers than before."""
    found = []
    for kind in planned:
        before, after = current.get(kind, {}), planned[kind]
        for model in sorted({*before, *after}):
            if (change := after.get(model, 0) - before.get(model, 0)) > 0:
                found.append(f"{plural(change, 'worker')} of type {kind} {'load' if change > 1 else 'loads'} {model}.")
    return found
