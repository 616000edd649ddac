"""The same model on a shorter schedule, or a distilled model that always takes so many steps (`fixed_steps`).

The schedule is the sampler's own for that many steps, not the long one thinned out: its last steps draw the detail.
"""

from __future__ import annotations

from workers.strategies.exact import start

__all__ = ["start"]
