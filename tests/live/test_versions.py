"""A worker beside a scheduler of a newer version."""

from __future__ import annotations

from typing import Any

from core.database import transaction
from core.tables import ASSIGNMENT_FORMAT, Assignment, Plan


def test_a_worker_follows_the_newest_assignment_that_it_can_read(site: Any) -> None:
    same = {"worker": site.follower.identity.name, "queues": [], "reason": "a test"}
    with transaction() as session:
        plan = Plan(family="toy", policy="argus", status="x", observed={}, decided={}, reason="a test", seconds=0.1)
        session.add(plan)
        session.flush()
        session.add(Assignment(epoch=plan.epoch, models=["small"], **same))
        session.flush()
        session.add(Assignment(epoch=plan.epoch, models=["large"], format=ASSIGNMENT_FORMAT + 1, **same))
    site.follower.restore()
    assert site.follower.current.models == ("small",)
    assert site.follower.problem is None
