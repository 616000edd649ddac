"""A stage of a cascade, as DiffServe and HADIS reckon with it: batch sizes, execution, the wait by Little's law."""

from __future__ import annotations

from dataclasses import dataclass

from scheduler.policies.cluster import Cluster
from scheduler.policies.decisions import Observation

BATCHES = (1, 2, 4, 8, 16, 32)  # that both artefacts choose among


@dataclass(frozen=True)
class Stage:
    """A level on one type of device. By batch size: seconds of an execution, and requests a second that a worker does.

    `wait_s` is what a request waits before it: the queue over the rate that comes (Little's law).
    """

    sizes: tuple[tuple[float, float], ...]
    wait_s: float = 0.0


def stage(cluster: Cluster, device: str, level: str, observed: Observation, rate: float) -> Stage:
    """The stage as a tick finds it, with so many requests a second coming to it."""
    known, place = cluster.profiles[device].level(level), cluster.levels.index(level)
    takes = [(size, cluster.latency_at(device, size)[place]) for size in BATCHES if size <= known.rows]
    queued = observed.waiting.get(level, 0)
    return Stage(tuple((seconds, size / seconds) for size, seconds in takes), queued / rate if rate > 0 else 0.0)


def light_scores(cluster: Cluster, light: str, heavy: str, observed: Observation) -> list[float]:
    """Recent scores of images that began at the light level, at whichever rung of its ladder they were drawn."""
    place = cluster.levels.index(light)
    drawn = [cluster.levels[rung] for rung in cluster.ladders.get(place, (place,))]
    return [score for level in drawn if level != heavy for score in observed.scores.get(level, ())]


def most_common_device(observed: Observation) -> str:
    """The type that most workers are of: cascades are planned on one."""
    return max(observed.workers, key=lambda device: observed.workers[device])
