"""The policy at the worker: asked whenever a place is free (`workers.admission`), it answers with `Policy.admit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from core.database import transaction
from core.families import Family
from core.tables import Request, ServiceClass
from scheduler.live import Live, as_request, quality_of
from scheduler.policies import Policy, Worker, kind
from scheduler.policies import Request as PolicyRequest
from workers.admission import Pick, first_come


class PolicyAdmission:
    """The admission of one worker under the policy in force."""

    def __init__(self, family: Family, worker: str, device_type: str) -> None:
        self.live = Live(family)
        self.worker, self.device_type = worker, device_type
        self.moves = kind(self.live.name).moves

    def __call__(self, waiting: Sequence[Request], levels: Sequence[str], running: int = 0) -> Pick:
        """Levels asked for by name are kept; without a plan it is first come, first served."""
        with transaction() as session:
            moment = self.live.moment(session)
        policy, epoch = moment.policy, moment.epoch
        if policy is None or epoch is None or self.device_type not in policy.cluster.profiles:
            return first_come(waiting, levels)
        if waiting[0].level not in policy.index:  # no profile has it: nobody knows what it costs
            return first_come(waiting, levels)
        held = policy.cluster.holds(waiting[0].level)
        places = [
            i for i, row in enumerate(waiting) if row.level in policy.index and policy.cluster.holds(row.level) == held
        ]
        shown = [(_bound(waiting[i], policy), str(waiting[i].level)) for i in places]
        answer = policy.admit(Worker(self.worker, self.device_type, held, running), shown, epoch, moment.scene)
        aside = tuple(places[i] for i in answer.aside)
        if answer.place is None:
            return Pick(aside=aside)
        chosen = waiting[places[answer.place]]
        return Pick(places[answer.place], answer.level if _free(chosen) and answer.level in levels else None, aside)


def _free(row: Request) -> bool:
    """Whether the level may be chosen anew: not one asked for by name; batch work stays at the level it waits for."""
    return row.level_asked == "auto" and row.service_class == ServiceClass.INTERACTIVE


def _bound(row: Request, policy: Policy) -> PolicyRequest:
    """The row as the policy sees it; one that is bound to its level accepts no other."""
    if _free(row):
        return as_request(row, quality_of(row, policy))
    only = tuple(float(level == row.level) for level in policy.levels)
    return replace(as_request(row, only), floor=1.0)
