"""What no policy that is late as often can beat: a clairvoyant linear programme over the very requests of a run.

Every request i that is served takes a mixture x[i,l] of levels; the pool is a fluid of W identical workers, any request
may be spread over all of them, and everything that will come is known. All this only helps, so the least loss of
the programme is below any schedule's:

    minimise   Σ_i Σ_l x[i,l] · max(0, 1 − quality[i,l])
    B1  Each request is served whole or shed:               Σ_l x[i,l] + late[i] = 1
    B2  Work is done in order of deadline:                  S[i] ≥ S[i−1] + Σ_l x[i,l]·seconds[l] / W
    B3  No work before its arrival:                         S[i] ≥ arrived[i] + Σ_l x[i,l]·seconds[l] / W
    B4  In time:                                            S[i] ≤ arrived[i] + slo
    B5  No more are late than were, or than must be:        Σ late ≤ max(late, fewest late)

A schedule that is late more often may lose less in what is in time, so a policy is compared with the bound at its own
lateness: `late` is how many requests its run had late.

B2 with B3 is Lindley's recursion for the time by which the first i are done; deadlines come in order of arrival, so it
holds whatever the order of service. For equal deadlines after arrival and W workers at the cheapest level, dropping
what would be late and serving the rest in order is optimal in the number in time (`fewest_late`).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array, vstack


@dataclass(frozen=True)
class Bound:
    """Least mean loss of relative quality over what is served in time, with so many late."""

    quality_lost: float
    late: int


def fewest_late(times: np.ndarray, workers: int, seconds: float, slo_s: float) -> int:
    """Fewest of these arrivals that must be late on `workers` that need `seconds` each, told everything."""
    free = [0.0] * workers
    late = 0
    for arrived in times:
        start = max(free[0], float(arrived))
        if start + seconds > arrived + slo_s + 1e-9:
            late += 1
        else:
            heapq.heapreplace(free, start + seconds)
    return late


def bound(
    times: np.ndarray, quality: np.ndarray, seconds: np.ndarray, workers: int, slo_s: float, late: int = 0
) -> Bound:
    """The bound for arrivals (N, sorted), true `quality` (N×L) and worker-`seconds` by level (L), with `late` late."""
    n = len(times)
    late = max(late, fewest_late(times, workers, float(seconds.min()), slo_s))
    whole, at_most, right = _constraints(times, quality.shape[1], seconds / workers)
    lower = np.concatenate([np.zeros(quality.size), times, np.zeros(n)])
    upper = np.concatenate([np.ones(quality.size), times + slo_s, np.ones(n)])  # B4
    answer = linprog(
        np.concatenate([np.maximum(0, 1 - quality).ravel(), np.zeros(2 * n)]),
        A_ub=at_most.tocsr(),
        b_ub=np.append(right, late),
        A_eq=whole.tocsr(),
        b_eq=np.ones(n),
        bounds=np.column_stack([lower, upper]),
        method="highs",
    )
    if answer.x is None:
        raise ArithmeticError(f"the bound's LP ended with status {answer.status}: {answer.message}")
    return Bound(float(answer.fun) / max(1, n - late), late)


def _constraints(times: np.ndarray, m: int, work_s: np.ndarray) -> tuple[coo_array, coo_array, np.ndarray]:
    """B1, then B2, B3 and B5 with their right sides but for that of B5, over the variables x, S, late in this order.

    `work_s` are the pool's seconds by level (L).
    """
    n = len(times)
    done, shed, width = n * m, n * m + n, n * m + 2 * n
    i = np.arange(n)
    work_rows, work_columns, work = np.repeat(i, m), np.arange(n * m), np.tile(work_s, n)

    whole = coo_array(  # B1
        (np.ones(n * m + n), (np.concatenate([work_rows, i]), np.concatenate([work_columns, shed + i]))), (n, width)
    )
    order = coo_array(  # B2, from the second request on
        (
            np.concatenate([work[m:], np.ones(n - 1), -np.ones(n - 1)]),
            (
                np.concatenate([work_rows[m:] - 1, i[1:] - 1, i[1:] - 1]),
                np.concatenate([work_columns[m:], done + i[:-1], done + i[1:]]),
            ),
        ),
        (n - 1, width),
    )
    arrival = coo_array(  # B3
        (
            np.concatenate([work, -np.ones(n)]),
            (np.concatenate([work_rows, i]), np.concatenate([work_columns, done + i])),
        ),
        (n, width),
    )
    fewest = coo_array((np.ones(n), (np.zeros(n, int), shed + i)), (1, width))  # B5
    return whole, vstack([order, arrival, fewest]), np.concatenate([np.zeros(n - 1), -times])
