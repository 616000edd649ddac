"""A simulated worker: rows that share a device, each at the speed its batch allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from scheduler.policies import Request

DONE = 1e-9


@dataclass(slots=True)
class Row:
    """One request in a batch: `left` of its `latency` seconds alone, `seconds` of worker time in all at the best batch.

    Each row beside it slows it by `drag`: from its latency alone to what the measured throughput of a full batch says.
    """

    request: Request
    level: int
    left: float
    latency: float
    seconds: float
    drag: float
    background: bool = False

    def takes(self, rows: int) -> float:
        """Seconds to its end while so many rows run."""
        return max(0.0, self.left) * (1 + self.drag * (rows - 1))


@dataclass(slots=True)
class SimWorker:
    """A worker on the virtual clock. `version` changes with every change of its rows, so that stale events are known."""

    id: int
    device: str
    model: str
    places: int
    rows: list[Row] = field(default_factory=list)
    wanted: str = ""  # the model it changes to when its rows are done
    ready_at: float = 0.0  # it is loading until then
    alive: bool = True
    changed_at: float = float("-inf")
    at: float = 0.0
    version: int = 0

    def has_room(self, now: float) -> bool:
        return self.alive and not self.wanted and self.ready_at <= now and len(self.rows) < self.places

    def advance(self, now: float) -> None:
        """Let the running rows go on until now."""
        if self.rows and now > self.at:
            for row in self.rows:
                row.left -= (now - self.at) / (1 + row.drag * (len(self.rows) - 1))
        self.at = now

    def change(self, now: float, act: Callable[[list[Row]], None]) -> None:
        """Change the rows at this moment."""
        self.advance(now)
        act(self.rows)
        self.version += 1

    def next_finish(self) -> float:
        return self.at + min(row.takes(len(self.rows)) for row in self.rows)

    def finished(self, now: float) -> list[Row]:
        """Take out the rows whose work is done."""
        self.advance(now)
        done = [row for row in self.rows if row.left <= DONE]
        self.rows = [row for row in self.rows if row.left > DONE]
        self.version += 1
        return done

    def busy_s(self, now: float) -> float:
        """Worker-seconds that the foreground rows still need."""
        self.advance(now)
        busy = sum(max(0.0, row.left) / row.latency * row.seconds for row in self.rows if not row.background)
        return busy + max(0.0, self.ready_at - now)
