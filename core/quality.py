"""Quality lost, by its one definition: how far each image falls short of the reference level, on average.

An image that happens to score above the reference does not make up for another that scores below it.
"""

from __future__ import annotations

from collections.abc import Sequence

#: The same in SQL, of one request's relative quality.
SHORTFALL_SQL = "greatest(0.0, 1.0 - {})"


def quality_lost(quality: Sequence[float]) -> float | None:
    """Mean shortfall from 1 of these relative qualities; None without any."""
    return sum(max(0.0, 1.0 - q) for q in quality) / len(quality) if len(quality) else None
