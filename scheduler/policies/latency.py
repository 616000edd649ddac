"""Expected seconds of a request by level and batch, as tables: what deadlines are checked against when one starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np

from scheduler.planning.align import ModelPools
from scheduler.policies.cluster import Cluster
from scheduler.policies.decisions import Epoch, LoadState, Request, Worker

Work = tuple[int, float, float]  # a level by its place in `Cluster.levels`, what of it is left, how many such
Left = Callable[[int], float]  # what is left of a request at a level, in requests of usual length


def usual(level: int) -> float:
    """All of a request of usual length, at any level."""
    return 1.0


class LatencyTable:
    """Seconds by device type and level (in `Cluster.levels` order): `alone`, in a `full` batch, among n (`at`).

    `seconds` are worker-seconds a request; a level that cannot run on a device type takes infinitely long there.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.models = cluster.models
        self._slo_s = cluster.slo_s
        self._model_of = [cluster.model_of[level] for level in cluster.levels]
        self.quality = cluster.quality
        self.index = {level: i for i, level in enumerate(cluster.levels)}
        self.alone = {d: cluster.latency(d) for d in cluster.profiles}
        self.full = {d: cluster.latency_full(d) for d in cluster.profiles}
        self.seconds = {d: cluster.seconds(d) for d in cluster.profiles}
        self.share = {d: cluster.share(d) for d in cluster.profiles}
        self._at = {d: _by_rows(cluster, d) for d in cluster.profiles}

    def at(self, device: str, rows: int) -> tuple[float, ...]:
        """Seconds by level while so many requests run, up to the fullest batch."""
        table = self._at[device]
        return table[min(max(rows, 1), len(table)) - 1]

    def runs(self, device: str, level: int) -> bool:
        """Whether this type of device can run the level."""
        return math.isfinite(self.alone[device][level])

    @cached_property
    def depth(self) -> dict[str, float]:
        """Requests that one worker can have before another, all at their fastest and in time, by what it holds.

        A batch is as large as helps: where a full one outlasts the target, smaller ones are in time.
        """
        return {held: max(self._depth(device, held) for device in self._at) for held in self.models}

    def _depth(self, device: str, held: str) -> float:
        """The best over batches of so many rows, each of which takes `s`: what the slack is enough for."""
        fastest = [(n, min(table[i] for i in self.models[held])) for n, table in enumerate(self._at[device], 1)]
        return max(n * max(0.0, self._slo_s - s) / s for n, s in fastest)

    def reachable(self, options: Sequence[int], left: float, work: Left = usual) -> bool:
        """Whether any type of device ends one of these levels within `left` seconds, alone."""
        return any(work(i) * alone[i] <= left for alone in self.alone.values() for i in options)

    def among(self, device: str, level: int, left: float, beside: Sequence[Work]) -> float:
        """Seconds that the share `left` of a request takes beside others.

        Rows of one model share its steps, models take turns. What ends before it is beside it for a part of its time
        only.
        """
        if not beside:
            return left * self.at(device, 1)[level]
        seconds, mine = self.seconds[device], left * self.seconds[device][level]
        alike = [
            n * min(share * seconds[i], mine) for i, share, n in beside if self._model_of[i] == self._model_of[level]
        ]
        rows = 1 + sum(alike) / mine if mine else 1.0
        low = int(rows)
        at, then = self.at(device, low)[level], self.at(device, low + 1)[level]
        own, alone = left * (at + (then - at) * (rows - low)), self.alone[device]
        turns = [n * min(share * alone[i], own) for i, share, n in beside if self._model_of[i] != self._model_of[level]]
        return own + sum(turns)

    def mean_seconds(self, workers: Mapping[str, Mapping[str, int]]) -> np.ndarray:
        """Mean worker-seconds of a request by level over the `workers` by model and device type (infinite: nobody)."""
        seconds = np.full(len(next(iter(self.seconds.values()))), np.inf)
        for model, indices in self.models.items():
            for i in indices:
                speed = sum(n / self.seconds[d][i] for d, n in workers[model].items() if n)
                seconds[i] = sum(workers[model].values()) / speed if speed > 0 else np.inf
        return seconds

    def budget(
        self, index: int, worker: Worker, waiting: Sequence[tuple[Request, str]], state: LoadState, margin: float
    ) -> float:
        """Most worker-seconds the request at `index` may take so that those behind it, at their fastest, are in time.

        The model's workers as a fluid server: the k-th behind starts when the work before it is done, spread over all
        workers, but for what those beside it in a batch still have to do.
        """
        full, alone, seconds = self.full[worker.device], self.alone[worker.device], self.seconds[worker.device]
        mine = self.models[worker.model]
        fastest = min(mine, key=full.__getitem__)
        least = float(min(seconds[i] for i in mine))
        workers = state.workers.get(worker.model, 1)
        in_batch = max(0.0, full[fastest] - alone[fastest]) / 2
        before = state.busy_s.get(worker.model, 0.0) - in_batch * workers
        until = state.now + full[fastest] + margin
        budget = float("inf")
        for k in range(index + 1, len(waiting)):
            slack = waiting[k][0].deadline - until
            if slack > 0:
                budget = min(budget, workers * slack - before)
                before += least
        return budget


def pools_of(cluster: Cluster, epoch: Epoch, seconds: Mapping[str, float]) -> ModelPools:
    """What levels cost under a plan, as re-alignment reads it; `seconds` are worker-seconds by level, where known."""
    models = list(cluster.models)
    return ModelPools(
        seconds=np.array([seconds.get(level, np.inf) for level in cluster.levels]),
        latency=np.min([cluster.latency(device) for device in cluster.profiles], axis=0),
        model=np.array([models.index(cluster.holds(level)) for level in cluster.levels]),
        workers=np.array([epoch.workers.get(model, 0) for model in models], float),
    )


def _by_rows(cluster: Cluster, device: str) -> list[tuple[float, ...]]:
    """Seconds by level among 1, 2, … requests, up to the fullest batch."""
    return [
        cluster.latency_at(device, n + 1) for n in range(max(level.rows for level in cluster.profiles[device].levels))
    ]
