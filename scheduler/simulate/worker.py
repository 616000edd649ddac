"""A simulated worker: requests that share a device, each at the speed its batch allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from scheduler.policies import Request

DONE = 1e-9


@dataclass(slots=True)
class Running:
    """A request in a batch: `left` of its `latency` seconds alone, `seconds` of worker time in all at the best batch.

    It was started at `level` and is `drawn` at another where the level needs a cached latent and there is none.

    Each other request in the batch slows it by `slowdown`: from its latency alone to what the measured throughput of a
    full batch says.
    """

    request: Request
    level: int
    left: float
    latency: float
    seconds: float
    slowdown: float
    background: bool = False
    drawn: int = -1

    def takes(self, rows: int) -> float:
        """Seconds to its end while so many run."""
        return max(0.0, self.left) * (1 + self.slowdown * (rows - 1))


@dataclass(slots=True)
class SimWorker:
    """A worker on the virtual clock. `version` changes with every change of its batch, which tells stale events."""

    id: int
    device: str
    model: str
    slots: int
    batch: list[Running] = field(default_factory=list)
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
        return self.alive and not self.wanted and self.ready_at <= now and len(self.batch) < self.slots

    def advance(self, now: float) -> None:
        """Let the batch go on until now."""
        if self.batch and now > self.at:
            for running in self.batch:
                running.left -= (now - self.at) / (1 + running.slowdown * (len(self.batch) - 1))
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

    def next_finish(self) -> float:
        return self.at + min(running.takes(len(self.batch)) for running in self.batch)

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
        busy = sum(max(0.0, r.left) / r.latency * r.seconds for r in self.batch if not r.background)
        return busy + max(0.0, self.ready_at - now)
