"""How long each kind of fault was felt. Pure: read off the ledger alone, by the clock of the harness.

first new image: from the end of the fault until the first image of a request accepted after it.
backlog final: from the end of the fault until every request accepted before it, batch work aside, was seen final.

Faults follow each other closely; what a later one delays is counted to an earlier one too, so both are upper bounds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.chaos.ledger import Kept, Ledger, Strike


@dataclass(frozen=True)
class Felt:
    """Seconds after one fault; None where it never came, because the run ended."""

    strike: Strike
    first_s: float | None
    backlog_s: float | None


@dataclass(frozen=True)
class Row:
    """A kind of fault in the table: how often, how often it met something, seconds (median, longest)."""

    kind: str
    family: str
    count: int
    hit: int
    first_s: tuple[float, float] | None
    backlog_s: tuple[float, float] | None


def felt(ledger: Ledger) -> list[Felt]:
    """What followed each fault that met something."""
    final = {kept.request: kept for kept in ledger.kept}
    urgent = sorted((p.at, request) for p in ledger.promises if p.urgent for request in p.requests)
    starts = [at for at, _ in urgent]
    after = []
    for strike in filter(lambda each: each.hit, ledger.strikes):
        place = bisect_left(starts, strike.until)
        new = (final[request].at for _, request in urgent[place:] if _done(final, request))
        old = [final[request].at if request in final else None for _, request in urgent[:place]]
        backlog = None if None in old else max([0.0, *(at - strike.until for at in old if at is not None)])
        first = min(new, default=None)
        after.append(Felt(strike, None if first is None else first - strike.until, backlog))
    return after


def table(ledger: Ledger) -> list[Row]:
    """A row a kind, by family in the order they came."""
    found: dict[tuple[str, str], list[Felt]] = {}
    for each in felt(ledger):
        found.setdefault((each.strike.family, each.strike.kind), []).append(each)
    kinds = sorted({(strike.family, strike.kind) for strike in ledger.strikes})
    return [_row(family, kind, ledger.strikes, found.get((family, kind), [])) for family, kind in kinds]


def _row(family: str, kind: str, strikes: Sequence[Strike], after: Sequence[Felt]) -> Row:
    count = sum(strike.kind == kind for strike in strikes)
    first, backlog = _spread(each.first_s for each in after), _spread(each.backlog_s for each in after)
    return Row(kind, family, count, len(after), first, backlog)


def _spread(seconds: Iterable[float | None]) -> tuple[float, float] | None:
    known = [each for each in seconds if each is not None]
    return (median(known), max(known)) if known else None


def _done(final: dict[str, Kept], request: str) -> bool:
    return request in final and final[request].state == "done"
