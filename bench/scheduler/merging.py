"""Seeds that are run later stand beside those that are kept, so that a long benchmark can be run in pieces.

A part whose figures have intervals keeps them by seed, and under `seeds` which ones these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.scheduler.pooling import totals


def missing(seeds: Sequence[int], kept: Mapping[str, Any]) -> tuple[int, ...]:
    """Those of the `seeds` that a part has not kept figures of; all, where it does not tell."""
    known = kept.get("seeds")
    return tuple(seed for seed in seeds if not isinstance(known, list) or seed not in known)


def merged(kept: Any, added: Any) -> Any:
    """Figures of two sets of seeds: lists one after the other, and what is pooled from them is made again.

    What only one of both has, such as policies that run under the first seed only, stays as it is.
    """
    if isinstance(kept, list):
        return [*kept, *added]
    if not isinstance(kept, dict):
        return added
    both = {name: merged(kept[name], added[name]) for name in kept.keys() & added.keys()}
    found = {**kept, **added, **both}
    return {**found, **totals(found["by_seed"])} if "by_seed" in found else found
