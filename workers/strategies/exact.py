"""The full model, every step: the reference all others are measured against."""

from __future__ import annotations

from core.families import Family, Level
from workers.engine.request import Order
from workers.latent_cache.cache import Hit
from workers.pipelines.base import Start


def start(order: Order, level: Level, family: Family, hit: Hit | None = None) -> Start:
    steps, _ = level.schedule(order.steps, family.defaults.steps)
    return Start(steps)
