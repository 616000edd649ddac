"""The interface of a policy, and what policies share."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any, ClassVar, Self

from scheduler.planning.instance import Instance, Plan, PromptClass
from scheduler.policies.cluster import Cluster
from scheduler.policies.decisions import Admission, Epoch, LoadState, Observation, Request, Worker
from scheduler.policies.hits import averaged
from scheduler.policies.instances import instance, prompt_agnostic_plan
from scheduler.policies.joining import Joining
from scheduler.policies.latency import LatencyTable
from scheduler.policies.preemption import Due, due, due_before, gives_way

MARGIN = 0.01  # of the target latency: a start may be so much later than decided
MIN_DEMAND = 1.0  # requests a minute that are planned for when nobody asks


class Policy:
    """Base of all policies: earliest deadline first at the level routed to, nothing regenerated.

    With `admission_control`, which every policy may have, a request that cannot be in time any more does not keep
    others waiting: it is set apart, and served when there is room.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    shared: ClassVar[bool] = True  # levels of one model share its workers
    moves: ClassVar[bool] = False  # a running request may move to a cheaper level, to be in time or to follow the plan
    clairvoyant: ClassVar[bool] = False  # the simulator gives it true qualities and future arrivals
    reviews_all: ClassVar[bool] = False  # `finished` is asked of every scored image, not only of those under a floor
    pauses: ClassVar[bool] = False  # a running request may give way to one that waits: `gives_way` is asked
    lets_go: ClassVar[bool] = False  # admission control is its own rule, whether a run gives it to all or not
    admission_control: bool = True

    def __init__(self, cluster: Cluster) -> None:
        self.epochs = 0
        self.over(cluster)

    def over(self, cluster: Cluster) -> None:
        """Everything that follows from the cluster. What a policy remembers between ticks is set in `__init__`."""
        self.cluster = replace(cluster, shared=self.shared)
        self.latencies = LatencyTable(self.cluster)
        self.margin = MARGIN * self.cluster.slo_s
        self.levels = self.cluster.levels
        self.index = {level: i for i, level in enumerate(self.levels)}

    def renewed(self, cluster: Cluster) -> Self:
        """This policy over a cluster that has changed: profiles are corrected as devices are observed.

        What the policy remembers goes on. The policy as it was stays as it is, for whoever is just asking it.
        """
        new = copy(self)
        new.over(cluster)
        return new

    def plan(self, observed: Observation) -> Epoch:
        """Workers per model, load per level, prices for the coming tick."""
        raise NotImplementedError

    def route(self, request: Request, epoch: Epoch, state: LoadState) -> str:
        """The level a new request is queued at."""
        raise NotImplementedError

    def admit(
        self, worker: Worker, waiting: Sequence[tuple[Request, str]], epoch: Epoch, state: LoadState
    ) -> Admission:
        """Which waiting request starts. `waiting` are (request, level routed to) that this worker serves, earliest
        deadline first."""
        unreachable: list[int] = []
        for i, (request, level) in enumerate(waiting):
            options = self._as_drawn(request, self._options(request, level, worker), worker)
            if not options:  # for workers of another type
                continue
            left = request.deadline - state.now - self.margin
            joining = Joining(self.latencies, worker, options, left, len(waiting) - i - 1, state, request.work)
            in_time = joining.in_time
            if self._rather_waits(request, joining, epoch, state):
                continue
            if in_time or not (self.admission_control or self.lets_go):
                start = self._start(i, in_time or options, worker, waiting, epoch, state)
                return Admission(i, self.levels[start], tuple(unreachable))
            if not self.latencies.reachable(options, left, request.work):
                unreachable.append(i)
        return Admission(unreachable=tuple(unreachable))

    def gives_way(
        self, waiting: Sequence[tuple[Request, str]], running: Sequence[tuple[Request, str]], state: LoadState
    ) -> int | None:
        """Which of the `running` requests of a model, all of whose workers are full, pauses for those that wait."""
        pairs = ((ahead := due_before(running, waiting)), running if ahead else ())
        asking, begun = ([self._due(*pair) for pair in some] for some in pairs)
        return gives_way(asking, begun, state.now + self.margin)

    def finished(self, request: Request, level: str, score: float, epoch: Epoch, state: LoadState) -> str | None:
        """A level to regenerate at, given the relative quality that `level` turned out to have."""
        return None

    def realign(self, waiting: Sequence[tuple[Request, str]], epoch: Epoch, state: LoadState) -> list[str]:
        """Levels for what waits under a new epoch. Here: what is queued where nobody serves is routed again."""
        workers = epoch.workers
        return [
            level if workers.get(self.cluster.holds(level)) else self.route(request, epoch, state)
            for request, level in waiting
        ]

    def _due(self, request: Request, level: str) -> Due:
        somewhere = Worker("", next(iter(self.cluster.profiles)), self.cluster.holds(level))
        return due(request, self.index[level], self._options(request, level, somewhere), self.latencies)

    # -- admission --------------------------------------------------------------------------------------------------

    def _options(self, request: Request, level: str, worker: Worker) -> Sequence[int]:
        """Levels at which this worker could run the request: here, the one that it was routed to."""
        return [i for i in (self.index[level],) if self.latencies.runs(worker.device, i)]

    def _as_drawn(self, request: Request, options: Sequence[int], worker: Worker) -> Sequence[int]:
        """What these levels are to the request: one that starts from a cached latent and finds none is another."""
        if not self.cluster.ladders:
            return options
        drawn = dict.fromkeys(self.cluster.drawn(i, request.quality) for i in options)
        return [i for i in drawn if self.latencies.runs(worker.device, i)] or options

    def _start(
        self,
        index: int,
        options: Sequence[int],
        worker: Worker,
        waiting: Sequence[tuple[Request, str]],
        epoch: Epoch,
        state: LoadState,
    ) -> int:
        """The level, of these, at which the request at `index` starts: here, there is but one."""
        return options[0]

    def _rather_waits(self, request: Request, joining: Joining, epoch: Epoch, state: LoadState) -> bool:
        """Whether one that could start beside what runs had better wait for its end."""
        return False

    # -- shared by the policies -------------------------------------------------------------------------------------

    def epoch(self, observed: Observation, plan: Plan, **rest: Any) -> Epoch:
        self.epochs += 1
        return Epoch(self.epochs, observed.now, plan, observed.rate, **rest)

    def demand(self, observed: Observation) -> float:
        """Requests a minute to plan for: what is forecast, batch work out of slack, and what waits cleared within one
        target latency."""
        return 60 * (observed.rate + observed.batch_rate + sum(observed.waiting.values()) / self.cluster.slo_s)

    def instance(self, observed: Observation, classes: tuple[PromptClass, ...], headroom: float = 1.0) -> Instance:
        """What the planner is asked."""
        return instance(self.cluster, observed, classes, headroom)

    def prompt_agnostic_plan(self, observed: Observation, demand: float, headroom: float = 1.0) -> Plan:
        """The optimum without knowing prompts: one class with the profile's mean qualities (PAC)."""
        return prompt_agnostic_plan(self.on_average(observed), observed, max(demand, MIN_DEMAND), headroom)

    def on_average(self, observed: Observation) -> Cluster:
        """The cluster to a policy that does not know prompts: its levels over recent requests, hits and misses."""
        return averaged(self.cluster, observed.sample)

    def next_in_turn(self, epoch: Epoch, state: LoadState) -> str:
        """The level furthest behind its planned share (smooth weighted round robin)."""
        shares = epoch.shares or {self.levels[0]: 1.0}
        total = sum(state.routed.values()) + 1
        return max(shares, key=lambda level: shares[level] * total - state.routed.get(level, 0))
