"""Argus: joint plan, priced routing, levels bound when service starts, the deadline_unreachable set aside, the backlog re-aligned.

The plan is one MILP over prompt classes × levels with the levels of a model sharing its workers. Its price, as a worth
of a worker-second, is corrected at every decision by what waits (`scheduler.planning.pricing.worth_now`). A worker that has room takes
the request with the earliest deadline and chooses the level anew: best quality minus price that is still in time and
leaves everyone behind it a chance. A request that no level can finish in time is set aside: it is told so, and served
when a worker would otherwise idle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.profiles import Profile
from scheduler.planning.align import Lanes, align
from scheduler.planning.instance import PromptClass
from scheduler.planning.milp import solve
from scheduler.planning.pricing import Curve, choose, curve, draw, worth_now
from scheduler.policies import Admission, Cluster, Epoch, Observation, Policy, Request, Scene, Worker

CLASSES = 8
COMING = 2  # rows that will have joined a batch before a request is done
MARGIN = 0.01  # of the target latency: what a start may slip
ESCALATE = 0.05  # share of the workers that has to be spare before scores below a floor are regenerated


class Argus(Policy):
    name = "argus"
    source = "this repository: docs/decisions/0010 to 0013, 0022"
    moves = True
    priced = True  # by prompt; False: everyone is a mean prompt (what the predictor is worth)
    late = True  # level bound when service starts; False: at arrival
    sets_aside = True  # False: late requests keep their place

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self.seconds = {d: np.array(self.cluster.seconds(d)) for d in self.cluster.profiles}
        self.latency = {d: self.cluster.latency(d) for d in self.cluster.profiles}
        self.crowded = {d: self.cluster.crowded(d) for d in self.cluster.profiles}
        self.among = {d: self._among(d, profile) for d, profile in self.cluster.profiles.items()}
        self.models = self.cluster.models
        self.margin = MARGIN * self.cluster.slo_s

    # -- plan -------------------------------------------------------------------------------------------------------

    def plan(self, seen: Observation) -> Epoch:
        sample, floors = self._sample(seen)
        plan = solve(self.instance(seen, classes(self.levels, sample, floors, self.demand(seen)), 1.0 + seen.error))
        held = {m: {d: by.get(m, 0) for d, by in plan.workers.items()} for m in self.models}
        seconds = self._pool_seconds(held)
        prices = np.array([plan.prices.get(lv, np.inf) for lv in self.levels])
        prices[~np.isfinite(seconds)] = np.inf
        chosen = choose(sample, prices, floors)
        curves = {m: self._curve(sample, floors, seconds, chosen, m) for m in self.models if sum(held[m].values())}
        total = sum(seen.workers.values())
        extra = {
            "seconds": {lv: float(s) for lv, s in zip(self.levels, seconds, strict=True) if np.isfinite(s)},
            "shares": {m: float(np.mean(np.isin(chosen, self.models[m]))) for m in curves},
            "escalate": plan.spare > ESCALATE * total,
        }
        return self.epoch(seen, plan, curves=curves, extra=extra)

    def _sample(self, seen: Observation) -> tuple[np.ndarray, np.ndarray]:
        if not len(seen.sample) or not self.priced:
            return np.array([self.cluster.quality]), np.zeros(1)
        return seen.sample, seen.floors

    def _pool_seconds(self, held: dict[str, dict[str, int]]) -> np.ndarray:
        """Mean worker-seconds of a request by level, over the device types that hold its model (infinite: nobody)."""
        seconds = np.full(len(self.levels), np.inf)
        for model, indices in self.models.items():
            for i in indices:
                speed = sum(n / self.seconds[d][i] for d, n in held[model].items() if n)
                seconds[i] = sum(held[model].values()) / speed if speed > 0 else np.inf
        return seconds

    def _curve(
        self, sample: np.ndarray, floors: np.ndarray, seconds: np.ndarray, chosen: np.ndarray, model: str
    ) -> Curve:
        mine = list(self.models[model])
        rows = np.isin(chosen, mine)
        rows = rows if rows.any() else np.ones(len(sample), bool)
        return curve(sample[rows][:, mine], seconds[mine], floors[rows])

    # -- route ------------------------------------------------------------------------------------------------------

    def route(self, request: Request, epoch: Epoch, scene: Scene) -> str:
        """Argmax quality − price over what the floor and the open models allow; ties by hash in planned proportion."""
        worth = {m: self._worth(m, epoch, scene) for m in epoch.curves if scene.workers.get(m, 0)}
        if not worth:  # nobody serves yet: it waits at its best level
            return self.levels[max(range(len(self.levels)), key=lambda i: request.quality[i])]
        best, value = [], -np.inf
        for i in self._allowed(request, [i for m in worth for i in self.models[m]]):
            level = self.levels[i]
            seconds = epoch.extra["seconds"].get(level)
            if seconds is None:
                continue
            net = self._quality(request, i) - self._price(
                level, worth[self.cluster.holds(level)] * seconds, epoch, scene
            )
            if net > value + 1e-9:
                best, value = [level], net
            elif net > value - 1e-9:
                best.append(level)
        if len(best) < 2:
            return best[0] if best else self.levels[0]
        shares = epoch.shares
        weights = np.cumsum([shares.get(level, 0.0) + 1e-9 for level in best])
        return best[int(np.searchsorted(weights / weights[-1], draw(request.key, epoch.number), side="right"))]

    def _price(self, level: str, now: float, epoch: Epoch, scene: Scene) -> float:
        """The price of the moment; while the level's model has had its share of the plan, the plan's price at least.

        What waits shows too late that a model is asked for more than it was planned for: its rows are running by then.
        """
        model = self.cluster.holds(level)
        routed = sum(scene.done.get(self.levels[i], 0) for i in self.models[model])
        behind = routed < epoch.extra["shares"].get(model, 0.0) * sum(scene.done.values())
        return now if behind else max(now, epoch.plan.prices.get(level, 0.0))

    def _worth(self, model: str, epoch: Epoch, scene: Scene) -> float:
        """Worth of a worker-second of a model, now."""
        rate = self.incoming(scene) * epoch.extra["shares"].get(model, 1.0)
        workers = scene.workers.get(model, 0)
        seconds = min(
            epoch.extra["seconds"][self.levels[i]]
            for i in self.models[model]
            if self.levels[i] in epoch.extra["seconds"]
        )
        slack = self.cluster.slo_s - min(by[i] for by in self.crowded.values() for i in self.models[model])
        room = workers * max(0.0, slack / seconds - 0.5)  # those in service are half done
        return worth_now(epoch.curves[model], rate, scene.waiting.get(model, 0), workers, room, scene.dispersion)

    def incoming(self, scene: Scene) -> float:
        """Requests a second that are coming. The oracle knows."""
        return scene.rate

    def _quality(self, request: Request, i: int) -> float:
        return request.quality[i] if self.priced else self.cluster.quality[i]

    def _allowed(self, request: Request, indices: Sequence[int]) -> Sequence[int]:
        if request.floor <= 0:
            return indices
        reached = [i for i in indices if request.quality[i] >= request.floor - 1e-9]
        return reached or [max(indices, key=lambda i: request.quality[i])]

    # -- admit ------------------------------------------------------------------------------------------------------

    def admit(self, worker: Worker, waiting: Sequence[tuple[Request, str]], epoch: Epoch, scene: Scene) -> Admission:
        aside: list[int] = []
        for place, (request, level) in enumerate(waiting):
            options = self._allowed(request, self.models[worker.model]) if self.late else (self.index[level],)
            left = request.deadline - scene.now - self.margin
            timely = self._timely(options, left, worker.device, worker.rows + len(waiting) - place + COMING)
            if timely:
                return Admission(place, self._bind(request, timely, place, worker, waiting, epoch, scene), tuple(aside))
            if not self.sets_aside:
                return Admission(place, self.levels[min(options, key=self.latency[worker.device].__getitem__)])
            aside.append(place)
        return Admission(aside=tuple(aside))

    def _timely(self, options: Sequence[int], left: float, device: str, rows: int) -> list[int]:
        """Levels that end in time among so many rows: those that run, this, all behind, a few more; else the quickest, alone."""
        latency, among = self.latency[device], self.among[device]
        expected = among[min(rows, len(among)) - 1]
        found = [i for i in options if expected[i] <= left]
        quickest = min(options, key=latency.__getitem__)
        return found or [quickest] * (latency[quickest] <= left)

    def _among(self, device: str, profile: Profile) -> list[tuple[float, ...]]:
        """Seconds by level among 1, 2, … rows, up to the fullest batch."""
        return [self.cluster.among(device, n + 1) for n in range(max(level.rows for level in profile.levels))]

    def _bind(
        self,
        request: Request,
        timely: Sequence[int],
        place: int,
        worker: Worker,
        waiting: Sequence[tuple[Request, str]],
        epoch: Epoch,
        scene: Scene,
    ) -> str:
        """The level when service starts: best quality minus price among those that leave the others a chance."""
        seconds = self.seconds[worker.device]
        room = self._room(place, worker, waiting, scene)
        cheapest = min(timely, key=seconds.__getitem__)
        options = [i for i in timely if seconds[i] <= room] or [cheapest]
        if worker.model not in epoch.curves:
            return self.levels[max(options, key=lambda i: request.quality[i])]
        worth = self._worth(worker.model, epoch, scene)
        return self.levels[max(options, key=lambda i: self._quality(request, i) - worth * seconds[i])]

    def _room(self, place: int, worker: Worker, waiting: Sequence[tuple[Request, str]], scene: Scene) -> float:
        """Most worker-seconds that this start may take so that those behind, at their fastest, are still in time.

        The pool as a fluid: the k-th behind starts when the work before it is done, spread over all workers, but for
        what those beside it in a batch still have to do.
        """
        crowded, latency, seconds = (
            self.crowded[worker.device],
            self.latency[worker.device],
            self.seconds[worker.device],
        )
        mine = self.models[worker.model]
        quickest = min(mine, key=crowded.__getitem__)
        least = float(min(seconds[i] for i in mine))
        workers = scene.workers.get(worker.model, 1)
        beside = max(0.0, crowded[quickest] - latency[quickest]) / 2
        before = scene.busy_s.get(worker.model, 0.0) - beside * workers
        until = scene.now + crowded[quickest] + self.margin
        room = float("inf")
        for k in range(place + 1, len(waiting)):
            slack = waiting[k][0].deadline - until
            if slack > 0:
                room = min(room, workers * slack - before)
                before += least
        return room

    # -- what waits, what was scored --------------------------------------------------------------------------------

    def realign(self, waiting: Sequence[tuple[Request, str]], epoch: Epoch, scene: Scene) -> list[str]:
        """Least predicted loss within the workers' time (`scheduler.planning.align`). One model: its levels are bound late anyway."""
        if not epoch.curves or not waiting:
            return super().realign(waiting, epoch, scene)
        if len(epoch.curves) == 1:
            (model,) = epoch.curves
            best = self.levels[max(self.models[model], key=self.cluster.quality.__getitem__)]
            held = {level for level in self.levels if epoch.held.get(self.cluster.holds(level))}
            return [level if level in held else best for _, level in waiting]
        models = list(self.models)
        seconds = np.array([epoch.extra["seconds"].get(level, np.inf) for level in self.levels])
        latency = np.min([self.latency[d] for d in self.latency], axis=0)
        of = np.array([models.index(self.cluster.holds(level)) for level in self.levels])
        lanes = Lanes(seconds, latency, of, np.array([epoch.held.get(m, 0) for m in models], float))
        quality = np.array([request.quality for request, _ in waiting])
        left = np.array([request.deadline - scene.now for request, _ in waiting])
        floors = np.array([request.floor for request, _ in waiting])
        found = align(lanes, quality, left, floors)
        quickest = int(np.argmin(np.where(lanes.open, latency, np.inf)))
        return [self.levels[i] if i >= 0 else self.levels[quickest] for i in found.levels]

    def finished(self, request: Request, level: str, score: float, epoch: Epoch, scene: Scene) -> str | None:
        """A score under the request's floor is regenerated at the best level, once, while the plan has workers to spare."""
        if score >= request.floor or request.attempt or not epoch.extra["escalate"]:
            return None
        best = max(range(len(self.levels)), key=lambda i: request.quality[i])
        in_time = scene.now + min(by[best] for by in self.latency.values()) <= request.deadline
        return self.levels[best] if in_time and self.levels[best] != level else None


def classes(levels: Sequence[str], sample: np.ndarray, floors: np.ndarray, demand: float) -> tuple[PromptClass, ...]:
    """Prompts that lose alike: the sample of each distinct floor, sorted by mean quality, in up to `CLASSES` equal parts."""
    found = []
    for floor in np.unique(floors):
        rows = sample[floors == floor]
        parts = np.array_split(rows[np.argsort(rows.mean(axis=1), kind="stable")], min(CLASSES, len(rows)))
        for k, part in enumerate(parts):
            mean = dict(zip(levels, map(float, np.maximum(part.mean(axis=0), 0.0)), strict=True))
            reachable = min(float(floor), max(mean.values()))
            found.append(PromptClass(f"{floor:g}/{k}", demand * len(part) / len(sample), mean, reachable))
    return tuple(found)


policy = Argus
