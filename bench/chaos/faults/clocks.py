"""The wall clock of all processes of Argus and of Valkey steps, and steps back; PostgreSQL's does not."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from bench.chaos.fault import Fault, Hit, fault
from bench.chaos.site import Site

FAMILY = "clock"
STEPS_S = (-3600, -60, -5, 5, 60, 3600)


def stepped(site: Site, rng: Random) -> Iterator[Hit]:
    offset = rng.choice(STEPS_S)
    site.clock.set(offset)
    try:
        yield Hit(f"{offset:+d} s")
    finally:
        site.clock.set(0)


def needs_library(site: Site) -> str | None:
    return None if site.clock.library else "there is no C compiler for bench/chaos/clock.c"


FAULTS: list[Fault] = [fault("clock steps", FAMILY, stepped, (3.0, 10.0), 2.0, needs_library)]
