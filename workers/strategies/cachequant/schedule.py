"""At which steps the deep part runs: CacheQuant's dynamic programming schedule (arXiv:2503.01323, §3.3)."""

from __future__ import annotations

import numpy as np

Starts = tuple[int, ...]


def bounds(interval: int) -> tuple[int, int]:
    """Fewest and most steps of a group: ⌈N/2⌉ and 2N."""
    return -(-interval // 2), 2 * interval


def uniform(steps: int, interval: int) -> Starts:
    """The deep part at every N-th step, as DeepCache has it."""
    return tuple(range(0, steps, interval))


def cost(distance: np.ndarray, starts: Starts) -> float:
    """Σ distance[s, t] over the steps t, s being the start of t's group."""
    ends = (*starts[1:], len(distance))
    return float(sum(distance[start, start:end].sum() for start, end in zip(starts, ends, strict=True)))


def schedule(distance: np.ndarray, interval: int) -> Starts:
    """Starts of the contiguous groups that T steps are cut into at the least `cost`: ⌈T/N⌉ groups within `bounds`.

    The paper's distance is ‖F_t − F_s‖₁ of deep features. Ours is how far the latent after step t would be from where
    it is: the same change of a feature matters little where a step moves little (`docs/decisions/0116`).

    best[k][t] is the least cost of the first t steps in k groups; the last group of them began at from_[k][t].

    Args:
        distance: what step t loses over the features of an earlier step s, [T, T], by start s and step t.
        interval: N, 1 … T.

    Raises:
        ValueError: no such interval.
    """
    steps = len(distance)
    if not 1 <= interval <= steps:
        raise ValueError(f"an interval of {interval} steps does not fit into {steps}: 1 to {steps} do")
    groups, (fewest, most) = -(-steps // interval), bounds(interval)
    best = np.full((groups + 1, steps + 1), np.inf)
    from_ = np.zeros((groups + 1, steps + 1), dtype=int)
    best[0, 0] = 0.0
    sums = np.cumsum(distance, axis=1)  # the cost of a group s … t is sums[s, t] − sums[s, s − 1]
    for k in range(1, groups + 1):
        for end in range(fewest, steps + 1):
            for start in range(max(0, end - most), end - fewest + 1):
                whole = best[k - 1, start] + sums[start, end - 1] - (sums[start, start - 1] if start else 0.0)
                if whole < best[k, end]:
                    best[k, end], from_[k, end] = whole, start
    starts, end = [], steps
    for k in range(groups, 0, -1):
        end = int(from_[k, end])
        starts.append(end)
    return tuple(reversed(starts))
