"""What the reference level takes on this very machine: the default latency target follows it.

A shipped profile was measured on another machine, idle and for itself. So at its first start a worker draws a few
images at the reference level, the way it will draw those of users, and keeps what they took in `home`/calibration; it
measures again when device, versions or family have changed. While it serves, requests that ran alone correct the
figure.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from core.families import Family
from core.images import encode_png
from core.settings import settings
from workers.engine.request import GenerationRequest
from workers.measure.hardware import hardware

if TYPE_CHECKING:
    from workers.engine.engine import Engine

log = structlog.get_logger(__name__)
DRAWS = 3
PROMPT = "calibration"
WEIGHT = 0.2  # of the newest request that ran alone
BOUNDS = (0.25, 4.0)  # one request may not claim more change than this


@dataclass(frozen=True)
class Calibration:
    """Seconds from claim to PNG of one request at the reference level, alone, and what they were measured on."""

    exact_s: float
    made_on: dict[str, Any]

    def corrected(self, seconds: float) -> Calibration:
        """With one more request that ran alone taken in."""
        low, high = (bound * self.exact_s for bound in BOUNDS)
        seen = min(max(seconds, low), high)
        return Calibration(self.exact_s + WEIGHT * (seen - self.exact_s), self.made_on)


def calibrate(engine: Engine, family: Family, device_type: str, device: str) -> Calibration:
    """The kept calibration when it was made on the same, else a new one of a few seconds, which is kept."""
    made_on = {**hardware(device, engine.dtype), "family": f"{family.id} {family.version}", "level": family.reference}
    path = _path(family, device_type)
    kept = read(path)
    if kept is not None and kept.made_on == made_on:
        return kept
    new = Calibration(statistics.median(_draw(engine, family, n) for n in range(DRAWS)), made_on)
    log.info("calibrated", level=family.reference, seconds=round(new.exact_s, 3), path=str(path))
    keep(path, new)
    return new


def read(path: Path) -> Calibration | None:
    """A kept calibration; None when there is none, or it cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        kept = Calibration(float(data["exact_s"]), dict(data["made_on"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return kept if 0 < kept.exact_s < inf else None


def keep(path: Path, calibration: Calibration) -> None:
    """Write it whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(calibration), indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def _path(family: Family, device_type: str) -> Path:
    return settings().home / "calibration" / family.id / f"{device_type}.json"


def _draw(engine: Engine, family: Family, number: int) -> float:
    """Seconds of one image; every prompt is a new one, as a user's would be."""
    level, size = family.level(family.reference), family.defaults
    prompt = f"{PROMPT} {number}"
    request = GenerationRequest(prompt, prompt, number, level, size.steps, size.guidance, size.width, size.height)
    return _timed(lambda: encode_png(engine.submit(request).result().image, {}))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
