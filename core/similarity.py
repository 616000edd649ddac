"""How near a cached prompt must be before some of the steps may be skipped (NIRVANA, Agarwal et al., NSDI 2024, §4.2).

The paper's table: cosine above 0.65, 0.75, 0.85, 0.90, 0.95 allows K = 5, 10, 15, 20, 25 of 50 steps. Between its
points and to (1, 1) a straight line. Workers, router, policies and simulator read this one table; what is near enough,
`allows` says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

SHARES = (0.10, 0.20, 0.30, 0.40, 0.50, 1.00)  # of the steps, skipped
COSINES = (0.65, 0.75, 0.85, 0.90, 0.95, 1.00)  # of the prompt to the cached one


def cosine_for(share: float) -> float:
    """Similarity above which this share of the steps may be skipped."""
    return float(np.interp(share, SHARES, COSINES))


def allows(similarity: ArrayLike, share: float) -> np.ndarray:
    """Whether a cached prompt so near may stand in for the first `share` of the steps (element by element)."""
    return np.asarray(similarity) > cosine_for(share)


def published_share(similarity: float) -> float:
    """The share of the paper's table that this similarity allows, without lines between its points; 0 for none."""
    return max(
        (share for share, cosine in zip(SHARES[:-1], COSINES[:-1], strict=True) if similarity > cosine), default=0.0
    )


def deepest(similarity: float, skip: int, steps: int) -> int:
    """The largest K up to `skip` of `steps` that this similarity allows; 0 for none."""
    return next((k for k in range(skip, 0, -1) if allows(similarity, k / steps)), 0)
