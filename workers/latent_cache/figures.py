"""What look-ups in the latent cache found, and what they took."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

COUNTED = ("hits", "misses", "errors", "timeouts", "bypassed", "damaged", "evicted")
NEWEST = 5  # fetches that say what one takes now


def _remembered() -> deque[float]:
    return deque(maxlen=1000)


@dataclass
class Figures:
    """Counts since the start; seconds of the newest look-ups in the index and fetches from the store."""

    counts: Counter[str] = field(default_factory=Counter)
    skipped: Counter[int] = field(default_factory=Counter)  # hits by the steps they saved
    lookup_s: deque[float] = field(default_factory=_remembered)
    fetch_s: deque[float] = field(default_factory=_remembered)

    def count(self, skipped: int | None) -> None:
        """A look-up has ended; `skipped` are the steps that its hit saves."""
        self.counts["misses" if skipped is None else "hits"] += 1
        if skipped is not None:
            self.skipped[skipped] += 1

    def to_json(self) -> dict[str, Any]:
        """Misses have errors, timeouts and bypassed look-ups (not asked after failures) among them."""
        newest = list(self.fetch_s)[-NEWEST:]
        return {
            **{name: self.counts[name] for name in COUNTED},
            "skipped": dict(self.skipped),
            "lookup_s": _quantiles(self.lookup_s),
            "fetch_s": _quantiles(self.fetch_s),
            "newest_fetch_s": median(newest) if newest else None,
        }


def _quantiles(seconds: deque[float]) -> dict[str, float]:
    values = list(seconds)
    return {"p50": float(np.quantile(values, 0.5)), "p95": float(np.quantile(values, 0.95))} if values else {}
