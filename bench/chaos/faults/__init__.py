"""Every fault there is, a file a family, and the seeded choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from bench.chaos.fault import Fault
from bench.chaos.faults import broker, clocks, database, messages, pairs, processes, stores

SINGLE: tuple[Fault, ...] = (
    *processes.FAULTS,
    *broker.FAULTS,
    *database.FAULTS,
    *stores.FAULTS,
    *messages.FAULTS,
    *clocks.FAULTS,
)
FAULTS: tuple[Fault, ...] = (*SINGLE, pairs.two_of(SINGLE))


def choose(faults: Sequence[Fault], count: int, seed: int) -> list[Fault]:
    """So many faults in a seeded order: each kind once, where there are as many, or one of each family; then by weight.

    With fewer faults than families, some families are left out.
    """
    rng = Random(seed)
    shuffled = rng.sample(faults, len(faults))
    of_families = list({each.family: each for each in shuffled}.values())
    first = shuffled if count >= len(shuffled) else of_families[:count]
    drawn = rng.choices(faults, [each.weight for each in faults], k=count - len(first))
    return rng.sample(first + drawn, count)
