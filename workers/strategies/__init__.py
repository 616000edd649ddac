"""Ways to be cheaper, one file each. A strategy answers where a request's loop begins and how long it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from core.errors import UnknownLevel
from core.families import Family, Level
from workers.engine.request import Order
from workers.pipelines.base import Start
from workers.strategies import approximate_cache, exact, feature_cache, fewer_steps, smaller_model

if TYPE_CHECKING:
    from workers.latent_cache.cache import Hit


class Strategy(Protocol):
    """`hit` is what the cache offers the prompt, where one was looked up."""

    def __call__(self, order: Order, level: Level, family: Family, hit: Hit | None) -> Start: ...


STRATEGIES: dict[str, Strategy] = {
    "exact": exact.start,
    "sm": smaller_model.start,
    "fs": fewer_steps.start,
    "ac": approximate_cache.start,
    "fc": feature_cache.start,
}


def begin(order: Order, level: Level, family: Family, hit: Hit | None = None) -> Start:
    """Where a request's loop begins at a level; raises `UnknownLevel` for a strategy no worker can run."""
    if level.strategy not in STRATEGIES:
        raise UnknownLevel(f"No worker can run strategy {level.strategy!r} of level {level.id!r}.", field="level")
    return STRATEGIES[level.strategy](order, level, family, hit)
