"""The fastest way to run a denoiser at each number of rows: as it is, compiled, or recorded as a CUDA graph. Measured.

Compiled and recorded forwards have fixed shapes, so there is one for a few sizes (buckets), and a batch is padded to
the next where that is still faster; rows do not see each other, so padding changes nothing.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from workers.pipelines.graphs import Recorder, Replay

log = logging.getLogger(__name__)

Tensors = dict[str, Tensor]
Inputs = tuple[Tensor, Tensor, Tensors]
Forward = Callable[[Tensor, Tensor, Tensors], Tensor]
Mode = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class Ways:
    """What to try when a model is loaded on CUDA; `attention` is a back-end of `attention.py`, `default` or `auto`."""

    compiling: Mode = "off"
    graphs: Mode = "auto"
    attention: str = "default"


FASTER = 0.97  # another way is taken where it needs at most this share of the time
MEMORY = 0.25  # of what is free: a graph keeps what its forward takes, and may take no more
REPEATS = 5
ENOUGH_S = 0.4  # of measuring one forward


class _Fixed:
    """One forward of so many rows, on tensors that stay where they are."""

    def __init__(self, forward: Forward, latents: Tensor, times: Tensor, conditioning: Tensors) -> None:
        self.latents, self.times = latents.clone(), times.clone()
        self.conditioning = {name: value.clone() for name, value in conditioning.items()}
        self.run: Replay = lambda: forward(self.latents, self.times, self.conditioning)

    def __call__(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        rows = len(latents)
        self.latents[:rows], self.times[:rows] = latents, times
        for name, value in conditioning.items():
            self.conditioning[name][:rows] = value
        return self.run()[:rows].clone()  # the next replay writes over it


@dataclass(frozen=True)
class Way:
    """How a bucket runs, in how many seconds, and the bytes it keeps."""

    name: str  # "compiled", "graph" or "compiled graph"
    forward: _Fixed
    seconds: float
    keeps: float = 0.0


Attempt = Callable[["Way | None", Inputs], "Way | None"]


class FastestForward:
    """A forward that runs the way that was measured fastest for its number of rows, and as it is for other shapes.

    Args:
        plain: the forward as it is.
        compiled: the same, compiled, where there is one.
        graphs, compiling: `auto` keeps what is faster; `on` keeps it in any case, `off` never.
        seconds: measures a forward; tests give their own.
    """

    def __init__(
        self,
        plain: Forward,
        recorder: Recorder,
        graphs: Mode = "auto",
        compiled: Forward | None = None,
        compiling: Mode = "auto",
        seconds: Callable[[Callable[[], Any]], float] | None = None,
    ) -> None:
        self.plain, self.recorder, self.graphs = plain, recorder, graphs
        self.compiled, self.compiling = (None if compiling == "off" else compiled), compiling
        self.seconds = seconds or (lambda work: measured_seconds(work, recorder.wait))
        self._ways: dict[Any, dict[int, Way]] = {}  # by shape of a row, by rows
        self._plain_s: dict[Any, dict[int, float]] = {}

    def __call__(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        shape, rows = _shape(latents, times, conditioning), len(latents)
        ways = self._ways.get(shape, {})
        bucket = min((size for size in ways if size >= rows), default=None)
        if bucket is None or self._expected_s(shape, rows) < ways[bucket].seconds:
            return self.plain(latents, times, conditioning)
        return ways[bucket].forward(latents, times, conditioning)

    def kept(self) -> dict[int, str]:
        """The way by rows, where it is not the plain one."""
        return {rows: way.name for ways in self._ways.values() for rows, way in sorted(ways.items())}

    @property
    def memory_mb(self) -> float:
        """What the graphs keep: they share their memory, as only one of them runs at a time."""
        return max((way.keeps for ways in self._ways.values() for way in ways.values()), default=0.0) / 1e6

    def measure(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> str:
        """Find the fastest way for these rows, smaller ones first; answers its name."""
        given = (latents, times, conditioning)
        shape, rows = _shape(*given), len(latents)
        plain_s = self.seconds(lambda: self.plain(*given))
        self._plain_s.setdefault(shape, {})[rows] = plain_s
        best: Way | None = None
        for mode, attempt in ((self.compiling, self._compiled), (self.graphs, self._graph)):
            way = None if mode == "off" else self._tried(attempt, best, given)
            if way and (mode == "on" or way.seconds <= FASTER * (best.seconds if best else plain_s)):
                best = way
        if best is not None:
            self._ways.setdefault(shape, {})[rows] = best
        name = best.name if best else "plain"
        log.info("forward of %d rows: plain %.2f ms; taken: %s", rows, 1000 * plain_s, name)
        return name

    def _tried(self, attempt: Attempt, best: Way | None, given: Inputs) -> Way | None:
        """A way, measured; None where there is none: no compiler, no memory, or something that can't be recorded."""
        try:
            way = attempt(best, given)
        except Exception as error:
            log.warning("%s of %d rows did not work: %r", attempt.__name__.strip("_"), len(given[0]), error)
            return None
        if way is not None:
            log.info("forward of %d rows: %s %.2f ms", len(given[0]), way.name, 1000 * way.seconds)
        return way

    def _compiled(self, best: Way | None, given: Inputs) -> Way | None:
        if self.compiled is None:
            return None
        fixed = _Fixed(self.compiled, *given)
        fixed(*given)  # compiles
        return Way("compiled", fixed, self.seconds(lambda: fixed(*given)))

    def _graph(self, best: Way | None, given: Inputs) -> Way | None:
        """Recorded: the faster of the plain and the compiled one."""
        compiled = self.compiled if best else None
        fixed = _Fixed(compiled or self.plain, *given)
        peak, free = self.recorder.takes(fixed.run)
        if self.graphs == "auto" and peak > MEMORY * free:
            return None
        fixed.run = self.recorder.record(fixed.run)
        return Way("compiled graph" if compiled else "graph", fixed, self.seconds(lambda: fixed(*given)), peak)

    def _expected_s(self, shape: Any, rows: int) -> float:
        """Seconds of the plain forward, between the sizes measured: it has as many rows as there are, not a bucket."""
        known = self._plain_s[shape]
        upper = min(size for size in known if size >= rows)
        lower = max((size for size in known if size <= rows), default=upper)
        share = (rows - lower) / (upper - lower) if upper > lower else 0.0
        return known[lower] + share * (known[upper] - known[lower])


def measured_seconds(work: Callable[[], Any], wait: Callable[[], object]) -> float:
    """Median seconds, the device's part included; of fewer runs where each takes long."""

    def once() -> float:
        wait()
        began = time.perf_counter()
        work()
        wait()
        return time.perf_counter() - began

    taken = [once()]
    while len(taken) <= REPEATS and sum(taken) < ENOUGH_S:
        taken.append(once())
    return statistics.median(taken[1:] or taken)  # the first may be a colder one


def _shape(latents: Tensor, times: Tensor, conditioning: Tensors) -> Any:
    """What must be equal for a fixed forward to serve: shapes of a row and data types."""
    inputs = sorted((name, tuple(value.shape[1:]), value.dtype) for name, value in conditioning.items())
    return (tuple(latents.shape[1:]), latents.dtype, times.dtype, tuple(inputs))
