"""Fair shares in a simulated system (`scheduler.policies.fairness`): tenants in turn, floods set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from scheduler.policies import Request
from scheduler.policies.fairness import ACTIVE_S, allowances, in_time, shares, turns
from scheduler.simulate.system import System, Waiting, deadline_of
from scheduler.simulate.worker import Running


class Fairness:
    """Whose turn it is, in a run with several tenants; with one, or unless the run is fair, nobody's."""

    def __init__(self, system: System) -> None:
        self.system, self.weights = system, system.config.weights
        self.seen: dict[str, float] = {}  # when each tenant sent something last
        self._no_demand = 0  # requests set aside since the forecaster was told last

    def arrived(self, request: Request) -> None:
        """A tenant wants the devices."""
        if self.system.config.fair and not request.batch:
            self.seen[request.tenant] = self.system.now

    def demand(self, arrived: int) -> int:
        """Of those that arrived, how many are planned for: not what was set aside."""
        less, self._no_demand = min(arrived, self._no_demand), 0
        return arrived - less

    def in_turn(self, queue: Sequence[Waiting]) -> Iterator[tuple[Sequence[Waiting], float]]:
        """What is shown to the policy, and the share of those it is of: a tenant's after another's."""
        waiting = {request.tenant for request, _ in queue}
        if not self.system.config.fair or len(waiting) < 2:
            yield queue, 1.0
            return
        share = shares(self._active(), self.weights)
        for tenant in turns(waiting, self._running(), self.weights):
            yield [pair for pair in queue if pair[0].tenant == tenant], share.get(tenant, 1.0)

    def set_aside(self) -> None:
        """What a tenant has waiting beyond what its share can have in time fills what others leave."""
        if len(self.seen) < 2 or len(active := self._active()) < 2:
            return
        system = self.system
        workers = Counter(worker.model for worker in system.workers if worker.alive)
        allowed = allowances(active, self.weights, in_time(system.policy.latencies, workers))
        mine = Counter(request.tenant for queue in system.waiting.values() for request, _ in queue)
        for tenant, most in allowed.items():
            if (over := mine[tenant] - most) > 0:
                self._set_aside_last(tenant, over)

    def next_in_background(self) -> tuple[Request, Running | None]:
        """What fills an idle worker next: the first of the tenant whose turn it is."""
        waiting = self.system.background
        several = self.system.config.fair and self.system.work.tenants
        tenants = {request.tenant for request, _ in waiting} if several else set()
        if len(tenants) < 2:
            return waiting.popleft()
        first = turns(tenants, self._running(), self.weights)[0]
        place = next(i for i, (request, _) in enumerate(waiting) if request.tenant == first)
        found = waiting[place]
        del waiting[place]
        return found

    def _set_aside_last(self, tenant: str, over: int) -> None:
        system = self.system
        mine = sorted((pair for pair in system.all_waiting() if pair[0].tenant == tenant), key=deadline_of)[-over:]
        for request, level in mine:
            system.waiting[system.cluster.holds(level)].remove((request, level))
            system.background.append((request, None))
            system.unreachable.add(request.id)
        self._no_demand += over

    def _active(self) -> set[str]:
        waiting = {request.tenant for queue in self.system.waiting.values() for request, _ in queue}
        return waiting | {tenant for tenant, at in self.seen.items() if self.system.now - at < ACTIVE_S}

    def _running(self) -> Counter[str]:
        return Counter(r.request.tenant for w in self.system.workers for r in (*w.batch, *w.paused))
