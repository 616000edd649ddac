"""What was done to Argus, what it promised, when that was kept: a JSON object a line, by the harness's clock."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Strike:
    """A fault that was injected. `until` is when the harness left off; what comes back after that comes by itself."""

    number: int
    kind: str
    family: str
    target: str
    at: float
    until: float
    hit: bool  # whether it met anything: a COMMIT to cut, a message to drop


@dataclass(frozen=True)
class Promise:
    """A submission answered 202. `wish` numbers submissions; one that is sent again keeps its number."""

    wish: int
    requests: tuple[str, ...]
    urgent: bool  # with a latency target; batch work waits for room
    at: float


@dataclass(frozen=True)
class Kept:
    """A promised request was seen in a final state."""

    request: str
    state: str
    at: float


@dataclass(frozen=True)
class Refused:
    """A wish that was given up: refused, or never answered 202."""

    wish: int
    why: str
    at: float


KINDS = {kind.__name__.lower(): kind for kind in (Strike, Promise, Kept, Refused)}


@dataclass
class Ledger:
    """All entries, in memory and in a file that outlives a crash of the harness."""

    path: Path | None = None
    strikes: list[Strike] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def add(self, entry: Strike | Promise | Kept | Refused) -> None:
        """Note it, at once on disk."""
        kind = type(entry).__name__.lower()
        with self._lock:
            self._list(entry).append(entry)
            if self.path is not None:
                with self.path.open("a") as file:
                    file.write(json.dumps({"entry": kind, **asdict(entry)}) + "\n")

    def open(self) -> list[str]:
        """Promised requests that were not seen in a final state."""
        with self._lock:
            final = {kept.request for kept in self.kept}
            return [request for promise in self.promises for request in promise.requests if request not in final]

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """The ledger of a run that is over."""
        ledger = cls()
        for line in path.read_text().splitlines():
            ledger.add(_entry(json.loads(line)))
        return ledger

    def _list(self, entry: Any) -> list[Any]:
        lists: dict[type, list[Any]] = {Strike: self.strikes, Promise: self.promises, Kept: self.kept}
        return lists.get(type(entry), self.refused)


def _entry(line: dict[str, Any]) -> Strike | Promise | Kept | Refused:
    kind = KINDS[line.pop("entry")]
    if "requests" in line:
        line["requests"] = tuple(line["requests"])
    return kind(**line)
