"""Giving what waits the levels of the new plan: rows first, then a message where other workers serve the new level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from core.database import transaction
from core.families import Family
from core.publishing import is_among, publish_requests
from core.queued_requests import change_levels, make_urgent, restore_reference
from core.tables import Request, State
from scheduler.control import reasons
from scheduler.observation.snapshot import Snapshot, able
from scheduler.policies import Policy

REPUBLISHED = 500  # requests that a tick moves to other workers: each costs a message


def realign(
    family: Family, policy: Policy, rows: Sequence[Any], levels: Sequence[str], snapshot: Snapshot, epoch: int
) -> int:
    """Give the waiting `rows` these levels, as far as somebody serves them; returns how many changed."""
    moved, published = _moves(family, policy, rows, levels, snapshot)
    if not moved:
        return 0
    changed = set[Any]()
    for level in set(moved.values()):
        those = {i: to for i, to in moved.items() if to == level}
        changed |= change_levels(those, epoch, reasons.realigned(level, family.reference))
    _publish([i for i in published if i in changed])
    return len(changed)


def start_urgent(rows: Sequence[Any], levels: Mapping[int, str], snapshot: Snapshot) -> int:
    """Batch work (`rows`, by index) that would miss its window goes with the interactive requests; returns how much."""
    taken = {i: snapshot.is_served(level) and able(rows[i], level) for i, level in levels.items()}
    wanted = {rows[i].id: level if taken[i] else rows[i].level for i, level in levels.items()}
    found = make_urgent(wanted, reasons.URGENT) if wanted else []
    publish_requests(found)
    return len(found)


def restore_batch_work(family: Family, snapshot: Snapshot) -> int:
    """Batch work that was routed while nobody served the reference level waits for that again; returns how much."""
    if not snapshot.is_served(family.reference):
        return 0
    return restore_reference(family.id, family.reference)


def _moves(
    family: Family, policy: Policy, rows: Sequence[Any], levels: Sequence[str], snapshot: Snapshot
) -> tuple[dict[Any, str], list[Any]]:
    """New levels by id, and the ids whose message has to move too: the most urgent, the others with the next tick."""
    moved: dict[Any, str] = {}
    published: list[Any] = []
    for row, level in zip(rows, levels, strict=True):
        if level == row.level or not snapshot.is_served(level) or not able(row, level):
            continue
        if not _same_workers(policy, row.level, level):
            if len(published) == REPUBLISHED:
                continue
            published.append(row.id)
        moved[row.id] = level
    return moved, published


def _same_workers(policy: Policy, before: str, after: str) -> bool:
    """Whether the same workers serve both levels: then the message in the old queue serves as well."""
    return policy.shared and policy.cluster.holds(before) == policy.cluster.holds(after)


def _publish(ids: Sequence[Any]) -> None:
    with transaction() as session:
        rows = list(session.scalars(select(Request).where(is_among(ids), Request.state == State.QUEUED)))
    publish_requests(rows)
