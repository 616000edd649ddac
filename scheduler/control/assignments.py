"""From a plan to what each worker is told: models, queues and why. Pure.

A worker that already holds what is planned stays. Whether a change pays at all is the planner's business
(`switch_cost`, `pinned`). A level that somebody waits for and that no planned model serves is added to a worker beside
its own, so that nothing waits in a queue nobody serves.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from core.families import Family
from scheduler.observation.queries import LiveWorker


@dataclass(frozen=True)
class NewAssignment:
    """What a worker is to hold from now on, first what it is planned with, and why."""

    worker: str
    models: tuple[str, ...]
    queues: tuple[str, ...]
    reason: str


def new_assignments(
    family: Family,
    workers: Sequence[LiveWorker],
    planned: Mapping[str, tuple[str, ...]],
    waited_for: Collection[str] = (),
    dwelling: Collection[str] = (),
) -> list[NewAssignment]:
    """The workers whose assignment changes.

    Args:
        planned: the models (or the one level) of each worker by name; a worker without any keeps its first model.
        waited_for: levels somebody waits for, planned or not.
        dwelling: workers within their dwell time; they give nothing up, but may be given more.
    """
    wanted = {worker.name: _assignment(family, worker, planned.get(worker.name)) for worker in workers}
    for worker in workers:
        if worker.name in dwelling:
            wanted[worker.name] = _and_before(wanted[worker.name], worker)
    _cover(family, wanted, waited_for)
    return [wanted[worker.name] for worker in workers if not _same(wanted[worker.name], worker)]


def _assignment(family: Family, worker: LiveWorker, planned: tuple[str, ...] | None) -> NewAssignment:
    """For a worker that is to hold these models, or this one level."""
    if not planned:
        first = worker.models[:1]
        return NewAssignment(worker.name, first, tuple(family.queues_of(list(first))), "not planned")
    reason = f"planned: {', '.join(planned)}"
    if all(model in family.models for model in planned):
        return NewAssignment(worker.name, planned, tuple(family.queues_of(list(planned))), reason)
    (level,) = planned
    return NewAssignment(worker.name, (family.level(level).model,), (family.queue(level),), reason)


def _cover(family: Family, wanted: dict[str, NewAssignment], waited_for: Collection[str]) -> None:
    """Give levels that would be nobody's to the workers with the fewest models."""
    for level in waited_for:
        queue, model = family.queue(level), family.level(level).model
        if not wanted or any(queue in assignment.queues for assignment in wanted.values()):
            continue
        name = min(wanted, key=lambda name: (model not in wanted[name].models, len(wanted[name].models), name))
        before = wanted[name]
        models = tuple(dict.fromkeys([*before.models, model]))
        reason = f"{before.reason}; {level}, which somebody waits for"
        wanted[name] = replace(before, models=models, queues=(*before.queues, queue), reason=reason)


def _and_before(wanted: NewAssignment, worker: LiveWorker) -> NewAssignment:
    """The assignment together with what the worker already serves."""
    models = tuple(dict.fromkeys([*wanted.models, *worker.models]))
    return replace(wanted, models=models, queues=tuple(dict.fromkeys([*wanted.queues, *worker.queues])))


def _same(wanted: NewAssignment, worker: LiveWorker) -> bool:
    return set(wanted.queues) == set(worker.queues) and set(wanted.models) == set(worker.models)
