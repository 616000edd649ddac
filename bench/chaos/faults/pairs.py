"""Two faults of different families at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from random import Random

import psycopg2
import redis

from bench.chaos.fault import Fault, Hit, fault
from bench.chaos.site import Site

KIND, FAMILY = "two faults at once", "pairs"
ALONE = {"supervisor killed"}  # is started again by the harness, which would wait for the other fault to end
AWAY = (psycopg2.Error, redis.RedisError, OSError, KeyError)  # what the second wants to meet is away by the first


def two_of(faults: Sequence[Fault]) -> Fault:
    """A fault that is two of these, of different families, both held, the second healed first."""

    def body(site: Site, rng: Random) -> Iterator[Hit]:
        possible = [each for each in faults if each.kind not in ALONE and each.missing(site) is None]
        first = rng.choice(possible)
        second = rng.choice([each for each in possible if each.family != first.family])
        with ExitStack() as held:
            met = held.enter_context(first.inject(site, Random(rng.random()))).met
            try:
                met = held.enter_context(second.inject(site, Random(rng.random()))).met and met
            except AWAY:
                met = False
            yield Hit(f"{first.kind} + {second.kind}", met)

    return fault(KIND, FAMILY, body, (1.0, 5.0), 10.0)
