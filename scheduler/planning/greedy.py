"""The greedy plan, used when the solver has no answer: feasible, no libraries, usually within a few percent.

Workers stay where they are; those without a model take the fastest; a short local search moves half of a model's
workers at a time while that serves more, or as much and better. Load goes to the cheapest level first, then what time
is left goes to the upgrades that gain most quality a second (the fractional knapsack's greedy rule).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from scheduler.planning.instance import EPS, Instance

Key = tuple[str, str]  # (device type, model)
Served = dict[tuple[str, str, str], float]  # (class, level, device type) → requests a minute
SEARCH_S = 0.3
UPGRADES = 400


class Placement(NamedTuple):
    """A level on a device type: the workers it uses, and their time for one request a minute."""

    level: str
    device: str
    key: Key
    minutes: float


def assign(instance: Instance) -> tuple[dict[Key, int], Served]:
    """Workers by (device type, model) and what they serve. Deterministic but for the search's time limit."""
    counts = _start(instance)
    served = fill(instance, counts)
    until = time.perf_counter() + SEARCH_S
    improved = not instance.max_moves  # where moves are counted, workers stay
    while improved and time.perf_counter() < until:
        improved = False
        for moved in _neighbours(instance, counts):
            other = fill(instance, moved)
            if _score(instance, other) > _score(instance, served):
                counts, served, improved = moved, other, True
                break
            if time.perf_counter() > until:
                break
    return counts, served


def _start(instance: Instance) -> dict[Key, int]:
    counts: dict[Key, int] = defaultdict(int)
    for device, n in instance.devices.items():
        rate: dict[str, float] = {}
        for level, d in instance.placements:
            if d == device:
                rate[level.holds] = max(rate.get(level.holds, 0.0), level.throughput[d])
        if not rate:
            continue
        left = n
        for model in rate:
            counts[device, model] = min(left, instance.holding(device, model))
            left -= counts[device, model]
        counts[device, max(rate, key=lambda m: rate[m])] += left
    return counts


def _neighbours(instance: Instance, counts: Mapping[Key, int]) -> list[dict[Key, int]]:
    """Half of what one model's workers may give, moved to another model on the same device type; then one worker."""
    moves = []
    for (device, a), n in counts.items():
        free = n - instance.pinned.get(device, {}).get(a, 0)
        for size in dict.fromkeys((free, free // 2, 1)):
            for other_device, b in counts:
                if other_device == device and b != a and 0 < size <= free:
                    moves.append({**counts, (device, a): n - size, (device, b): counts[device, b] + size})
    return moves


def _score(instance: Instance, served: Served) -> tuple[float, float]:
    known = {c.id: c for c in instance.classes}
    total = round(sum(known[c].weight * rate for (c, _, _), rate in served.items()), 6)
    return total, round(sum(known[c].weight * known[c].quality[lv] * rate for (c, lv, _), rate in served.items()), 6)


def fill(instance: Instance, counts: Mapping[Key, int]) -> Served:
    """Load that so many workers can carry: everyone as cheap as allowed first, then the best upgrades."""
    left = {key: n / instance.headroom for key, n in counts.items()}
    placements = [Placement(lv.id, d, (d, lv.holds), 1.0 / lv.throughput[d]) for lv, d in instance.placements]
    served: Served = defaultdict(float)
    options = {c.id: [at for at in placements if c.allows(at.level)] for c in instance.classes}
    for c in sorted(instance.classes, key=lambda c: min((at.minutes for at in options[c.id]), default=0.0) / c.weight):
        want = c.demand
        for level, device, key, minutes in sorted(options[c.id], key=lambda at: at.minutes):
            rate = min(want, left.get(key, 0.0) / minutes)
            if rate > EPS:
                served[c.id, level, device] += rate
                left[key] -= rate * minutes
                want -= rate
    for _ in range(UPGRADES):
        if not _upgrade(instance, options, served, left):
            break
    return {key: rate for key, rate in served.items() if rate > EPS}


def _upgrade(
    instance: Instance, options: Mapping[str, list[Placement]], served: Served, left: dict[Key, float]
) -> bool:
    """Move as much as fits along the one upgrade that gains most quality a unit of time; False when none is left."""
    placed = {(at.level, at.device): at for found in options.values() for at in found}
    quality = {c.id: {lv: c.weight * q for lv, q in c.quality.items()} for c in instance.classes}
    best: tuple[float, float, tuple[str, str, str], tuple[str, str, str]] | None = None
    for source, rate in served.items():
        c, level, device = source
        now = placed[level, device]
        for at in options[c]:
            gain = quality[c][at.level] - quality[c][level]
            extra = at.minutes - now.minutes if at.key == now.key else at.minutes
            room = left.get(at.key, 0.0)
            if rate < EPS or gain < EPS or (extra > 0 and room < EPS):
                continue
            amount = rate if extra <= 0 else min(rate, room / extra)
            value = gain / max(extra, EPS)
            if amount > EPS and (best is None or value > best[0]):
                best = (value, amount, source, (c, at.level, at.device))
    if best is None:
        return False
    _, amount, source, target = best
    for (_, level, device), sign in ((source, 1.0), (target, -1.0)):
        at = placed[level, device]
        left[at.key] += sign * amount * at.minutes
    served[source] -= amount
    served[target] += amount
    return True


def prices(instance: Instance, counts: Mapping[Key, int], served: Served) -> dict[str, float]:
    """Relative quality a request: each level's time at the price of the next upgrade on its workers."""
    gains: dict[Key, float] = defaultdict(float)
    time_of = {(lv.id, d): ((d, lv.holds), 1.0 / lv.throughput[d]) for lv, d in instance.placements}
    quality = {c.id: c for c in instance.classes}
    for c, level, device in served:
        key, minutes = time_of[level, device]
        for (other, d), (other_key, needs) in time_of.items():
            if d == device and other_key == key and needs > minutes + EPS and quality[c].allows(other):
                gain = quality[c].weight * (quality[c].quality[other] - quality[c].quality[level])
                gains[key] = max(gains[key], gain / (needs - minutes))
    found: dict[str, float] = {}
    for (level, _), (key, minutes) in time_of.items():
        if counts.get(key):
            found[level] = min(found.get(level, float("inf")), gains[key] * minutes)
    return {level: found.get(level, 1.0) for level, _ in time_of}
