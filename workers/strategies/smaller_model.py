"""The same loop on a smaller model of the family (SSD-1B for SDXL, Tiny-SD for SD-1.5): the level names the model."""

from __future__ import annotations

from workers.strategies.exact import start

__all__ = ["start"]
