"""What a fault is: a context manager that injects it when entered and heals it when left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from random import Random

from bench.chaos.site import Site


@dataclass
class Hit:
    """What a fault met. `met` is false where there was nothing to meet: no message to drop, no COMMIT to cut."""

    target: str
    met: bool = True


Body = Callable[[Site, Random], Iterator[Hit]]


def nothing(site: Site) -> str | None:
    """Nothing is needed."""
    return None


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Args:
        kind: its name, for people.
        family: what it is done to.
        hold_s: the shortest and the longest time between injecting and healing it.
        weight: how often it comes, relative to the others.
        missing: why it cannot be injected here; None where it can.
    """

    kind: str
    family: str
    hold_s: tuple[float, float]
    weight: float
    inject: Callable[[Site, Random], AbstractContextManager[Hit]]
    missing: Callable[[Site], str | None] = nothing


def fault(
    kind: str,
    family: str,
    body: Body,
    hold_s: tuple[float, float] = (0.0, 0.0),
    weight: float = 1.0,
    missing: Callable[[Site], str | None] = nothing,
) -> Fault:
    """A fault from a generator that yields once: before it is injection, after it healing."""
    return Fault(kind, family, hold_s, weight, contextmanager(body), missing)
