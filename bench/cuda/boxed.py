"""Parts of a measurement, each in a time box of its own: one that fails or takes too long costs the others nothing."""

from __future__ import annotations

import json
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class OutOfTime(BaseException):
    """A part's time is up."""


@dataclass
class Findings:
    """What was measured so far; on disk after every line, so that whoever is cut off keeps it."""

    file: Path
    seconds: float  # in all
    began: float = field(default_factory=time.perf_counter)
    part: str = "start"
    checks: list[dict[str, Any]] = field(default_factory=list)
    figures: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def left_s(self) -> float:
        return self.seconds - (time.perf_counter() - self.began)

    def expect(self, good: bool, what: str, **values: Any) -> None:
        """A property that must hold."""
        self.checks.append({"part": self.part, "good": bool(good), "what": what, **values})
        self._say("pass" if good else "FAIL", what)

    def figure(self, **values: Any) -> None:
        """A row of the part's table."""
        self.figures.setdefault(self.part, []).append(values)
        self._say("    ", ", ".join(f"{name} {_short(value)}" for name, value in values.items()))

    def run(self, name: str, limit_s: float, work: Callable[[], object]) -> None:
        """One part, for so many seconds at most."""
        self.part, began = name, time.perf_counter()
        room = min(limit_s, self.left_s)
        if room < 3:
            self.parts[name] = "skipped: no time left"
            return
        self.parts[name] = self._boxed(room, work)
        self._say("took", f"{time.perf_counter() - began:.1f} s, {self.parts[name]}")

    def _boxed(self, room: float, work: Callable[[], object]) -> str:
        def alarm(*_: object) -> None:
            raise OutOfTime

        signal.signal(signal.SIGALRM, alarm)
        signal.setitimer(signal.ITIMER_REAL, room)
        try:
            work()
            return "done"
        except OutOfTime:
            return f"cut after {room:.0f} s"
        except Exception as error:
            traceback.print_exc()
            return f"failed: {type(error).__name__}: {str(error)[:200]}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _say(self, kind: str, text: str) -> None:
        print(f"[{self.seconds - self.left_s:6.1f}] {kind} {self.part}: {text}", flush=True)
        self.file.write_text(json.dumps(self.as_dict(), indent=1, default=str) + "\n", encoding="utf-8")

    def as_dict(self) -> dict[str, Any]:
        """As written to the file."""
        return {"about": self.about, "parts": self.parts, "checks": self.checks, "figures": self.figures}


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
