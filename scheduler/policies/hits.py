"""What levels cost and keep on average, where not every prompt finds a cached latent to start from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core.profiles import Profile
from scheduler.policies.cluster import Cluster


def averaged(cluster: Cluster, sample: np.ndarray) -> Cluster:
    """The cluster with its caching levels as they are over recent requests: hits, and misses further up the ladder.

    A profile measures such a level with a hit each time. A policy that sends any prompt there must count on the misses.

    Args:
        sample: predicted qualities of recent requests (N×L), 0 where a level's latent is missing.
    """
    ladders = cluster.ladders
    if not ladders or not len(sample) or (sample[:, list(ladders)] > 0).all():
        return cluster
    shares = {cluster.levels[level]: _shares(cluster, rungs, sample) for level, rungs in ladders.items()}
    profiles = {device: _averaged(profile, shares) for device, profile in cluster.profiles.items()}
    return replace(cluster, profiles=profiles)


def _shares(cluster: Cluster, rungs: tuple[int, ...], sample: np.ndarray) -> dict[str, float]:
    """Share of the requests that a level draws at each rung of its ladder."""
    drawn = np.full(len(sample), rungs[0])
    for rung in rungs[1:]:
        drawn[sample[:, rung] > 0] = rung
    return {cluster.levels[rung]: float(np.mean(drawn == rung)) for rung in rungs}


def _averaged(profile: Profile, shares: dict[str, dict[str, float]]) -> Profile:
    levels = []
    for level in profile.levels:
        mix = [(profile.level(rung), share) for rung, share in shares.get(level.id, {}).items() if rung in profile.ids]
        total = sum(share for _, share in mix)
        if total > 0:
            change = {
                "requests_per_minute": total / sum(share / rung.requests_per_minute for rung, share in mix),
                "latency_s": sum(share * rung.latency_s for rung, share in mix) / total,
                "quality": sum(share * rung.quality for rung, share in mix) / total,
            }
            level = level.model_copy(update=change)
        levels.append(level)
    return profile.model_copy(update={"levels": tuple(levels)})
