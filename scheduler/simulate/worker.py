"""A simulated worker: rows that share a device, each at the speed its batch allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from core.profiles import BatchCurve
from scheduler.policies import Request

DONE = 1e-9


@dataclass(slots=True)
class Row:
    """One request in a batch: `left` seconds of work as if alone, `seconds` of worker time in all at the best batch."""

    request: Request
    level: int
    left: float
    latency: float
    seconds: float
    background: bool = False


@dataclass(slots=True)
class SimWorker:
    """A worker on the virtual clock. `version` changes with every change of its rows, so that stale events are known."""

    id: int
    device: str
    model: str
    curve: BatchCurve
    rows: list[Row] = field(default_factory=list)
    wanted: str = ""  # the model it changes to when its rows are done
    ready_at: float = 0.0  # it is loading until then
    alive: bool = True
    changed_at: float = float("-inf")
    at: float = 0.0
    version: int = 0

    def has_room(self, now: float) -> bool:
        return self.alive and not self.wanted and self.ready_at <= now and len(self.rows) < self.curve.max_size

    def advance(self, now: float) -> None:
        """Let the running rows go on until now."""
        if self.rows and now > self.at:
            done = (now - self.at) * self.curve.speed(len(self.rows))
            for row in self.rows:
                row.left -= done
        self.at = now

    def change(self, now: float, act: Callable[[list[Row]], None]) -> None:
        """Change the rows at this moment."""
        self.advance(now)
        act(self.rows)
        self.version += 1

    def next_finish(self) -> float:
        return self.at + max(0.0, min(row.left for row in self.rows)) / self.curve.speed(len(self.rows))

    def finished(self, now: float) -> list[Row]:
        """Take out the rows whose work is done."""
        self.advance(now)
        done = [row for row in self.rows if row.left <= DONE]
        self.rows = [row for row in self.rows if row.left > DONE]
        self.version += 1
        return done

    def busy_s(self, now: float) -> float:
        """Worker-seconds that the foreground rows still need."""
        speed = self.curve.speed(len(self.rows)) if self.rows else 1.0
        gone = (now - self.at) * speed
        busy = sum(max(0.0, row.left - gone) / row.latency * row.seconds for row in self.rows if not row.background)
        return busy + max(0.0, self.ready_at - now)
