"""A simulated worker: requests that share a device, each at the speed its batch allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scheduler.policies import Request

DONE = 1e-9


@dataclass(slots=True)
class Running:
    """A request in a batch: `left` of 1 to do, `seconds` of worker time in all at the best batch.

    It was started at `level` and is `drawn` at another where the level needs a cached latent and there is none. It
    fills the `share` of the device that a row of its model's fullest batch has. `takes_s` are the seconds it takes from
    start to end among 1, 2, … requests of its model; models take turns.
    """

    request: Request
    level: int
    drawn: int
    seconds: float
    takes_s: Sequence[float]
    share: float
    model: str
    left: float = 1.0
    background: bool = False
    mode: str = ""  # in which several workers draw it, or began to
    ranks: int = 1  # so many
    leader: int | None = None  # which of them started it

    @property
    def work(self) -> float:
        """What is left, in requests of usual length."""
        return self.left * (self.request.lengths[self.drawn] if self.request.lengths else 1.0)

    def takes(self, rows: Counter[str]) -> float:
        """Seconds from start to end while so many run of each model."""
        return self.takes_s[rows[self.model] - 1] * len(rows)


@dataclass(slots=True)
class SimWorker:
    """A worker on the virtual clock. `version` changes with every change of its batch, which tells stale events.

    Requests that are `paused` keep their slots and go on as soon as those that took them have ended. While it draws an
    image with others (`joined`) nothing else begins.
    """

    id: int
    device: str
    model: str
    able: bool = True  # its device can run something of what it holds
    batch: list[Running] = field(default_factory=list)
    paused: list[Running] = field(default_factory=list)
    joined: Running | None = None
    wanted: str = ""  # the model it changes to when its batch is done
    ready_at: float = 0.0  # it is loading until then
    alive: bool = True
    loaded_at: float = float("-inf")  # when it last began to load weights
    at: float = 0.0
    version: int = 0

    @property
    def planned(self) -> str:
        """The model it holds, or will hold."""
        return self.wanted or self.model

    def has_room(self, now: float) -> bool:
        """Whether another request in front can start: background work makes room."""
        if self.joined is not None:
            return False
        full = sum(running.share for running in (*self.batch, *self.paused) if not running.background) > 1 - DONE
        return self.alive and self.able and not self.wanted and self.ready_at <= now and not full

    def advance(self, now: float) -> None:
        """Let the batch go on until now."""
        if self.batch and now > self.at:
            rows = self._rows()
            for running in self.batch:
                running.left -= (now - self.at) / running.takes(rows)
        self.at = now

    def advanced(self, now: float) -> list[Running]:
        """What it runs, as far as that is now."""
        self.advance(now)
        return self.batch

    def change(self, now: float, act: Callable[[list[Running]], None]) -> None:
        """Change the batch now."""
        self.advance(now)
        act(self.batch)
        self.version += 1

    def resume(self, now: float) -> None:
        """Let those that were paused go on, as far as there is room for them."""
        filled = sum(running.share for running in self.batch if not running.background)
        for running in list(self.paused):
            if filled + running.share <= 1 + DONE or not filled:
                self.paused.remove(running)
                self.change(now, lambda batch, back=running: batch.append(back))  # type: ignore[misc]
                filled += running.share

    def next_finish(self) -> float:
        rows = self._rows()
        return self.at + min(max(0.0, running.left) * running.takes(rows) for running in self.batch)

    def _rows(self) -> Counter[str]:
        return Counter(running.model for running in self.batch)

    def finished(self, now: float) -> list[Running]:
        """Take out the requests whose work is done."""
        self.advance(now)
        done = [running for running in self.batch if running.left <= DONE]
        self.batch = [running for running in self.batch if running.left > DONE]
        self.version += 1
        return done

    def busy_s(self, now: float) -> float:
        """Worker-seconds that the foreground requests still need."""
        self.advance(now)
        busy = sum(max(0.0, r.left) * r.seconds for r in (*self.batch, *self.paused) if not r.background)
        return busy + max(0.0, self.ready_at - now)
