"""Which waiting request a free place is given to, and at which level: the policy's decision, made when service starts.

A message says that somebody waits in this queue; who that is, the rows say. So the place goes to the most urgent
request that this worker can serve, one whose deadline no level can meet any more is marked so, and the level is chosen
anew among those of the model held. The worker asks `Policy.admit`; without a plan it is first come, first served.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import Row

from core import open_requests, queued_requests, requests
from core.database import transaction
from core.families import Family
from core.kinds import share_of
from core.requests import Claim
from core.tables import Request, ServiceClass
from core.tenant_tables import ITSELF
from core.workers import WorkerIdentity
from scheduler.control.reasons import started
from scheduler.observation.readings import Readings
from scheduler.observation.snapshot import SnapshotReader, able, as_request, floor_of, quality_of
from scheduler.planning.gangs import Load, planned_load
from scheduler.policies import Admission, Policy, Started, Worker, policy_class
from scheduler.policies import Request as PolicyRequest
from scheduler.policies.background import OWED_AFTER, Owed, slows
from scheduler.policies.fairness import as_its_own, shares, turns

log = structlog.get_logger(__name__)
Waiting = Row[Any]  # of a request that waits, with the columns `open_requests.SHOWN`
Turn = tuple[str | None, float]  # a tenant and its share of the devices; no name: all that wait
SHOWN = 32  # waiting requests the policy is shown at a time
AGAIN_S = 0.02  # a row that is held is looked at again
TRIES = 8  # lost races, or rounds in which no deadline of all that was shown can be met


class PolicyAdmission:
    """The admission of one worker under the policy in force.

    `moves` says whether what runs may be moved to a cheaper level on the way: the published baselines do not.

    Args:
        rows_of: rows of each model that are worth running at once, where nothing was measured that a policy knows.
    """

    def __init__(self, family: Family, worker: str, device_type: str, rows_of: Mapping[str, int] | None = None) -> None:
        self.family, self.rows_of = family, rows_of or {}
        self.reader = SnapshotReader(family)
        self.worker, self.device_type = worker, device_type
        self.passed_over = False  # when it was asked last, somebody waited who was not let beside what runs
        self.moves = policy_class(self.reader.name).moves
        self._owed = Owed()
        self._target_s = 0.0  # not known before the first decision
        self._tenants: Mapping[str, float] = {}  # that want the devices, as the last readings say

    def __call__(
        self, waiting: Sequence[Waiting], levels: Sequence[str], running: Sequence[Started] = (), share: float = 1.0
    ) -> Admission:
        """The place in `waiting` (earliest deadline first) that starts beside those `running`, and at which level.
        They are those of a tenant with this `share` of the devices, or all.

        No level in the answer keeps the one the request was routed to; one asked for by name is always kept.
        """
        with transaction() as session:
            snapshot = self.reader.snapshot(session)
        policy, epoch, self._tenants = snapshot.policy, snapshot.epoch, snapshot.readings.tenants
        if policy is None or epoch is None or self.device_type not in policy.cluster.profiles:
            return first_come(waiting)
        self._target_s = policy.cluster.slo_s
        if waiting[0].level not in policy.index:  # no profile has it: nobody knows what it costs
            return first_come(waiting)
        held = policy.cluster.holds(waiting[0].level)
        places = [
            i for i, row in enumerate(waiting) if row.level in policy.index and policy.cluster.holds(row.level) == held
        ]
        shown = [(self._bound(waiting[i], policy), str(waiting[i].level)) for i in places]
        load = self.reader.load_now(snapshot)
        if len(waiting) < SHOWN:  # this is all that waits for such workers
            load = as_its_own(load, held, len(shown), share)
        answer = policy.admit(Worker(self.worker, self.device_type, held, tuple(running)), shown, epoch, load)
        unreachable = tuple(places[i] for i in answer.unreachable)
        if answer.start is None:
            return Admission(unreachable=unreachable)
        chosen = waiting[places[answer.start]]
        free = _free(chosen) and answer.level in levels and able(chosen, answer.level)
        return Admission(places[answer.start], answer.level if free else "", unreachable)

    def gives_way(self, waiting: Sequence[Waiting], running: Sequence[tuple[Request, float]]) -> int | None:
        """Which of the running (row, the share of it that is left) pauses for those that wait, if any."""
        with transaction() as session:
            snapshot = self.reader.snapshot(session)
        policy = snapshot.policy
        if policy is None or not policy.pauses or self.device_type not in policy.cluster.profiles:
            return None
        asking = [(self._bound(row, policy), str(row.level)) for row in waiting if row.level in policy.index]
        if not asking or any(row.level not in policy.index for row, _ in running):
            return None
        begun = [(replace(self._bound(row, policy), done=1 - left), str(row.level)) for row, left in running]
        return policy.gives_way(asking, begun, self.reader.load_now(snapshot))

    def length(self, row: Request) -> float:
        """What a request takes at its level, relative to one of the usual steps and size."""
        return next(iter(self._lengths(row, [str(row.level)], self.reader.policy)), 1.0)

    def _bound(self, row: Waiting | Request, policy: Policy) -> PolicyRequest:
        """The row as the policy sees it; one that is bound to its level accepts no other."""
        lengths = self._lengths(row, policy.levels, policy)
        if _free(row):
            return replace(as_request(row, quality_of(row, policy)), lengths=lengths)
        only = tuple(float(level == row.level) for level in policy.levels)
        return replace(as_request(row, only), floor=1.0, lengths=lengths)

    def _lengths(self, row: Waiting | Request, levels: Sequence[str], policy: Policy | None) -> tuple[float, ...]:
        """What it takes at each level, relative to a usual one: its steps, its pixels, and LoRAs as they were measured;
        empty where it is a usual one."""
        lengths = self.family.lengths(levels, row.steps, row.width, row.height, share_of(row.strength, row.own_kind))
        profile = policy.cluster.profiles.get(self.device_type) if policy else None
        if not row.loras or profile is None:
            return lengths
        ratios = (profile.level(level).lora_ratio if level in profile.ids else 1.0 for level in levels)
        return tuple(length * ratio for length, ratio in zip(lengths or [1.0] * len(levels), ratios, strict=True))

    def share(self, level: str) -> float:
        """The share of this device that a request at a level fills."""
        policy = self.reader.policy
        profile = policy.cluster.profiles.get(self.device_type) if policy else None
        if policy is None or profile is None or level not in profile.ids or not profile.level(level).batch:
            return 1 / self.rows_of.get(self.family.level(level).model, 1)
        return policy.latencies.share[self.device_type][policy.index[level]]

    def slows(self, front: Sequence[str], behind: Sequence[str]) -> bool:
        """Whether requests at the levels in `front` take notably longer here beside background work at the others;
        where nothing was measured, nobody knows."""
        policy = self.reader.policy
        if policy is None or self.device_type not in policy.cluster.profiles:
            return False
        known = [[policy.index[level] for level in some if level in policy.index] for some in (front, behind)]
        return slows(policy.latencies, self.device_type, *known)

    def background_waits(self, levels: Sequence[str]) -> bool:
        """Whether there is work at these levels for a worker with nothing else to do, as of a second ago."""
        return any(self._readings().background.get(level) for level in levels)

    def somebody_cancelled(self) -> bool:
        """Whether some worker is at a request that nobody wants any more, as of a second ago."""
        return self._readings().cancelled > 0

    def _readings(self) -> Readings:
        with transaction() as session:
            found = self.reader.snapshot(session).readings
        self._tenants = found.tenants
        return found

    def planned_load(self) -> Load:
        """What the load takes of all workers' time at the levels of the plan in force; all of it without one."""
        with transaction() as session:
            found = self.reader.snapshot(session)
        shares = found.epoch.shares if found.epoch else None
        return planned_load(found.readings.rate, shares, self.reader.seconds, len(found.workers))

    def turns(self) -> Sequence[Turn]:
        """Whose requests are offered a place, one tenant's after another's; all at once where one wants the devices."""
        if len(self._tenants) < 2:
            return ((None, 1.0),)
        share = shares(self._tenants, self._tenants)
        first = turns(self._tenants, open_requests.running_by_tenant(self.family), self._tenants)
        return [*((tenant, share[tenant]) for tenant in first), (ITSELF, 1.0)]

    @property
    def owed_after_s(self) -> float:
        """Seconds after which a request that missed its deadline is owed a start."""
        return OWED_AFTER * self._target_s

    def owes(self) -> bool:
        """Whether this worker has time for one of them."""
        return self._target_s > 0 and self._owed.allows(time.time())

    def count_owed(self, level: str) -> None:
        """One of them starts at this level."""
        self._owed.started(time.time(), self.reader.seconds(level))

    def count_started(self, level: str) -> None:
        """A request starts at this level: the next decision knows, though the rows were read before."""
        self.reader.count_started(level)


def first_come(waiting: Sequence[Waiting]) -> Admission:
    """The most urgent, at the level it was routed to."""
    return Admission(0 if waiting else None)


def _free(row: Waiting | Request) -> bool:
    """Whether the level may be chosen anew: not one asked for by name, nor of batch work that has time."""
    return bool(row.level_asked == "auto" and (row.service_class == ServiceClass.INTERACTIVE or row.urgent))


def _best(row: Waiting, levels: Sequence[str]) -> str | None:
    """The level, of these, that is predicted to be best for one that may be drawn at any; none to keep its own."""
    known = {level: row.qualities[level] for level in levels if level in (row.qualities or {}) and able(row, level)}
    return max(known, key=lambda level: (known[level], level == row.level)) if known and _free(row) else None


def _note(row: Waiting, level: str, behind: int) -> str | None:
    """Why a request starts at another level than it was routed to, for its sender; nothing where it does not."""
    if not level or level == row.level:
        return None
    known = row.qualities or {}
    better = known.get(level, 0.0) > known.get(str(row.level), 0.0)
    return started(level, str(row.level), better, behind)


def claim(
    family: Family,
    worker: WorkerIdentity,
    levels: Sequence[str],
    admission: PolicyAdmission,
    running: Sequence[Started] = (),
) -> Claim | None:
    """Claim the request that the policy gives a place to, beside those `running`; of several tenants in turn.

    None when nobody waits at these levels whose deadline can be met.
    """
    passed_over = False
    for turn in admission.turns():
        claimed = _claim_of(turn, family, worker, levels, admission, running)
        if claimed is not None:
            return claimed
        passed_over |= admission.passed_over
    admission.passed_over = passed_over
    return None


def _claim_of(
    turn: Turn,
    family: Family,
    worker: WorkerIdentity,
    levels: Sequence[str],
    admission: PolicyAdmission,
    running: Sequence[Started],
) -> Claim | None:
    """Claim a request of the tenant whose turn it is; or of all. A row that somebody else holds is being taken, or
    only noted as published: it is looked at again a little later.
    """
    (tenant, share), shown = turn, list[Waiting]()
    lost: set[uuid.UUID] = set()  # others are taking them
    for _ in range(TRIES):
        shown = shown or [
            row for row in open_requests.waiting(family, levels, False, SHOWN, tenant) if row.id not in lost
        ]
        if lost and not shown:
            time.sleep(AGAIN_S)
            lost.clear()
            continue
        answer = _asked(admission, shown, levels, running, share)
        if answer.unreachable:
            late = [shown[place].id for place in answer.unreachable]
            settled = requests.keep_image(late)
            queued_requests.mark_unreachable([request for request in late if request not in settled])
        if answer.start is not None:
            chosen = shown[answer.start]
            note = _note(chosen, answer.level, len(shown) - answer.start - 1)
            claimed = requests.claim(chosen.id, worker, family.model_of, levels, answer.level or None, note)
            if claimed is not None:
                admission.count_started(str(claimed.request.level))
                return claimed
            lost.add(chosen.id)
            shown = shown[answer.start + 1 + random.randrange(2 ** len(lost)) :]  # else both want the next one too
        elif answer.unreachable:
            shown = []
        else:
            admission.passed_over = bool(shown)
            return None
    admission.passed_over = True
    return None


def claim_owed(
    family: Family, worker: WorkerIdentity, levels: Sequence[str], admission: PolicyAdmission
) -> Claim | None:
    """Claim a request that missed its deadline and has waited so long that it is owed a start; seldom one."""
    if not admission.owes():
        return None
    for request in open_requests.owed(family, levels, admission.owed_after_s, TRIES):
        claimed = requests.claim(request.id, worker, family.model_of, levels)
        if claimed is not None:
            admission.count_owed(str(claimed.request.level))
            return claimed
    return None


def claim_background(
    family: Family, worker: WorkerIdentity, levels: Sequence[str], admission: PolicyAdmission
) -> Claim | None:
    """Claim what fills a worker that has nothing else to do: missed deadlines first, at the best level that it holds,
    then batch work; last what was set aside at levels that others hold, who are busy."""
    others = [level for level in family.levels if level not in levels]
    for waiting_at in (levels, others):
        if not admission.background_waits(waiting_at):  # idle workers ask often, and mostly for nothing
            continue
        for request in _in_background(family, waiting_at, admission):
            level = _best(request, levels)
            if waiting_at is others and (level is None or request.qualities[level] < floor_of(request)):
                continue
            note = _note(request, level or "", 0)
            claimed = requests.claim(request.id, worker, family.model_of, waiting_at, level, note)
            if claimed is not None:
                return claimed
    return None


def _in_background(family: Family, levels: Sequence[str], admission: PolicyAdmission) -> Iterator[Waiting]:
    """What may fill this worker, the first of each tenant's in turn."""
    for tenant, _ in admission.turns():
        yield from open_requests.waiting(family, levels, True, TRIES, tenant)


def _asked(
    admission: PolicyAdmission,
    shown: Sequence[Waiting],
    levels: Sequence[str],
    running: Sequence[Started],
    share: float,
) -> Admission:
    """The policy's answer; first come first served when it fails, because a free place must not stay empty."""
    try:
        return admission(shown, levels, running, share) if shown else Admission()
    except Exception:
        log.exception("admission failed; first come, first served")
        return first_come(shown)
