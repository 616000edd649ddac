"""The clairvoyant bounds of runs over seeds: at the fewest late, and as late as each policy was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.scheduler.parallel import each
from bench.scheduler.pooling import totals
from bench.scheduler.setup import Setup
from scheduler.simulate import Report
from traces.reader import Trace


def bounds(
    setup: Setup, trace: Trace, seeds: Sequence[int], runs: Mapping[str, Sequence[Report]]
) -> dict[str, dict[str, Any]]:
    """By policy, with the fewest late under the empty name: figures as `pooling.pooled` has them, one run a seed."""
    late = {"": [0] * len(seeds), **{name: [r.figures["violations"] for r in of] for name, of in runs.items()}}
    asked = sorted({(seed, count) for counts in late.values() for seed, count in zip(seeds, counts, strict=True)})
    found = dict(zip(asked, each(setup, _least, [(trace, *those) for those in asked]), strict=True))
    return {name: _pooled([found[pair] for pair in zip(seeds, counts, strict=True)]) for name, counts in late.items()}


def _least(setup: Setup, trace: Trace, seed: int, late: int) -> dict[str, float]:
    return setup.least(setup.work(trace, seed), late)


def _pooled(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    by_seed = {key: [row[key] for row in rows] for key in rows[0]}
    return {**totals(by_seed), "by_seed": by_seed}
