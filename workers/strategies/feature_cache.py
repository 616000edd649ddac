"""Every step of the full schedule, much of it reused from the step before (`workers/pipelines/feature_cache.py`).

A level names one of diffusers' caches and its options: `first-block` recomputes when the first block's residual has
moved by more than `threshold`; `taylorseer` every `cache_interval` steps, and extrapolates in between.
"""

from __future__ import annotations

from workers.strategies.exact import start

__all__ = ["start"]
