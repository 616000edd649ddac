"""The way that a request's steps are to be taken, as it is asked for, and one run of a request in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.parallel import MODES

if TYPE_CHECKING:
    from workers.parallel.mode import Mode
    from workers.pipelines.rows import Batch

WINDOW = 32  # states of ParaTAA, rows of one forward, where memory allows
NOBODY = "no other worker of this host could join"


@dataclass(frozen=True)
class Way:
    """A mode by its name, with how it is made for an adapter and a row; or why it is not to be had: serial steps.

    One that is `required` is no parallel mode, but draws what serial steps do not (`workers.kinds`): where a turn fails
    the request does, and the attempt's record says nothing of it.
    """

    mode: str
    make: Callable[[Any, Batch], Mode] | None = None
    why_not: str | None = None
    ranks: int = 1
    warm_up: int = 0
    required: bool = False


@dataclass(eq=False)
class ModeRun:
    """One request in a mode, until it ends or goes on in serial steps."""

    way: Way
    turns: int = 0
    fall_back: str | None = field(init=False)
    _mode: Mode | None = None

    def __post_init__(self) -> None:
        self.fall_back = self.way.why_not

    @property
    def is_on(self) -> bool:
        """Whether the next turn is the mode's."""
        return self.fall_back is None

    def turn(self, adapter: Any, batch: Batch) -> None:
        """Take the row of a batch a step or more further. Where this raises, the row is where its last whole turn left
        it."""
        assert self.way.make is not None
        self._mode = self._mode or self.way.make(adapter, batch)
        self._mode.turn(batch)
        self.turns += 1

    def end(self, why: str) -> None:
        """Take serial steps from here on; what the mode kept is let go."""
        self.fall_back, self._mode = self.fall_back or why, None

    @property
    def note(self) -> str | None:
        """What to say of it, for people."""
        if self.fall_back is None:
            return None
        what = f"serial steps after {self.turns} turns of" if self.turns else "serial steps instead of"
        return f"{what} {self.way.mode}: {self.fall_back}"

    def record(self) -> dict[str, Any] | None:
        """For the attempt's row."""
        way = self.way
        if way.required:
            return None
        told = {"mode": way.mode, "ranks": way.ranks, "warm_up": way.warm_up}
        return {**told, "turns": self.turns, "fall_back": self.fall_back}


def way_alone(name: str) -> Way | None:
    """The way of a request that names a mode, for one device by itself; None for `auto` and `off`."""
    if (needs := MODES.get(name)) is None:
        return None
    return Way(name, why_not=NOBODY, warm_up=needs.warm_up) if needs.gang else Way(name, _parataa)


def _parataa(adapter: Any, batch: Batch) -> Mode:
    from workers.parallel.parataa import ParaTAA

    return ParaTAA(adapter, window=min(WINDOW, adapter.rows_that_fit or WINDOW))
