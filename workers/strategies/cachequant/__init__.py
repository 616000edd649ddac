"""CacheQuant (Liu, Li & Gu, CVPR 2025, arXiv:2503.01323): the deep part of the denoiser runs at some steps alone.

The other steps reuse its last features, corrected channel by channel, under the shallow part. Which steps are which,
and the corrections, were found by calibration (`workers/measure/cachequant.py`) and are read from a file. The loop
itself is that of `exact`: every step of the schedule, each row at its own phase (`workers/pipelines/phases.py`).
"""

from __future__ import annotations

from workers.strategies.exact import start

__all__ = ["start"]
