"""The full model, every step: the reference all others are measured against."""

from __future__ import annotations

from core.families import Family, Level
from workers.engine.order import Order
from workers.pipelines.base import Start
from workers.strategies.latents import Hit


def start(order: Order, level: Level, family: Family, hit: Hit | None = None) -> Start:
    steps, _ = level.schedule(order.steps, family.defaults.steps)
    return Start(steps)
