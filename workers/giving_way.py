"""A running request gives way to one that would be late: it stands still at a step boundary, and goes on afterwards.

A worker that is full holds no message for whoever comes, so it looks by itself, four times a second, while something
runs that has that much left to do. Who gives way to whom is the policy's decision (`scheduler.policies.preemption`).
The one that stands still keeps its row, its latent and its share of the device: nobody else starts meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core import open_requests
from core.requests import Claim
from workers.admission import SHOWN
from workers.claims import Claims
from workers.generation import Generation

if TYPE_CHECKING:
    from workers.engine.engine import Engine

LOOK_S = 0.25  # between two looks; what has less left to do is not paused


def look(generation: Generation) -> None:
    """Where the worker is full, start a request that would be late in the place of one that has slack."""
    claims, engine = generation.claims, generation.engine
    if claims.held or claims.lapsed or claims.has_room or generation.stopping.is_set():
        return
    if _somebody_may_be_alone(claims):
        return
    begun = [claim for claim in claims.foreground if _seconds_left(claim, engine) > LOOK_S]
    if not begun:
        return
    with generation.claiming:
        found = _in_whose_place(generation, begun)
        if found is None:
            return
        claimed, pausing = found
        generation.begin(claimed)
        if claimed.number == 1:
            claims.hold(pausing, claimed)
            engine.hold(str(pausing.request.id))
    generation.slots.submit(generation.execution.run, claimed)


def _somebody_may_be_alone(claims: Claims) -> bool:
    """What was tried before may have the device to itself, or wait for it until who stands still has ended."""
    return any(claim.number > 1 for claim in list(claims.running.values()))


def _in_whose_place(generation: Generation, begun: list[Claim]) -> tuple[Claim, Claim] | None:
    """The request that starts, claimed, and the one that gives way to it."""
    waiting = open_requests.waiting(generation.family, generation.follower.levels(), False, SHOWN)
    running = [(claim.request, _share_left(claim, generation.engine)) for claim in begun]
    chosen = generation.admission.gives_way(waiting, running) if waiting else None
    if chosen is None:
        return None
    pausing = begun[chosen]
    claimed = generation.claim_beside([other for other in generation.claims.foreground if other is not pausing])
    return None if claimed is None else (claimed, pausing)


def _share_left(claim: Claim, engine: Engine) -> float:
    running = engine.find(str(claim.request.id))
    return running.share_left if running else 1.0


def _seconds_left(claim: Claim, engine: Engine) -> float:
    """Of its steps alone; 0 where it has not begun them."""
    running = engine.find(str(claim.request.id))
    if running is None or not running.batch_sizes:
        return 0.0
    return running.steps_left * engine.costs.step_s(running.level.model, 1)
