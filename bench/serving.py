"""Ways of serving the same arrivals: step-level batching, batches of whole requests, one at a time."""

from __future__ import annotations

import queue
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.families import Family
from workers.engine.engine import Engine
from workers.engine.request import GenerationRequest
from workers.measure.model_cost import PROMPT
from workers.pipelines.base import Adapter
from workers.pipelines.rows import Batch
from workers.strategies import begin


@dataclass(frozen=True)
class Served:
    """One request as its user saw it: seconds from arrival to first step and to the image."""

    wait_s: float
    latency_s: float


@dataclass(frozen=True)
class Run:
    """What one way of serving made of the arrivals."""

    name: str
    served: list[Served]
    seconds: float  # first arrival to last image
    encode_s: float = 0.0  # median, from submission to being encoded
    cpu_s: float = 0.0  # of the whole process, all threads

    @property
    def rate(self) -> float:
        """Images a second."""
        return len(self.served) / self.seconds

    def row(self, slo_s: float, offline: float) -> dict[str, Any]:
        """Its row of the page's table."""
        latency = [one.latency_s for one in self.served]
        return {
            "way": self.name,
            "images_per_s": self.rate,
            "of_offline": self.rate / offline,
            "in_time": sum(value <= slo_s for value in latency) / len(latency),
            "wait_mean_s": statistics.fmean(one.wait_s for one in self.served),
            "latency_p50_s": float(np.quantile(latency, 0.5)),
            "latency_p95_s": float(np.quantile(latency, 0.95)),
        }


@dataclass(frozen=True)
class Server:
    """One model of a family on one device, and the most rows of a step."""

    family: Family
    adapter: Adapter
    most: int

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """An engine of its own, running, the model loaded."""
        device, dtype = str(self.adapter.device), self.adapter.dtype
        engine = Engine(self.family, device, dtype, self.most, load=lambda model: self.adapter)
        engine.start()
        try:
            engine.load(self.adapter.model.id)
            yield engine
        finally:
            engine.stop()

    def by_step(self, arrivals: Sequence[float], work: Sequence[GenerationRequest]) -> tuple[Run, dict[str, Any]]:
        """Step-level batching by the engine: a new request joins at the next step. Also the engine's counters."""
        with self.engine() as engine:
            before = time.process_time()
            futures: list[Any] = []
            began = submit_at(arrivals, work, lambda request: futures.append(engine.submit(request)))
            results = [future.result() for future in futures]
            cpu_s, stats = time.process_time() - before, engine.stats()
        served = [
            Served(one.times.started - began - arrival, one.times.decoded - began - arrival)
            for one, arrival in zip(results, arrivals, strict=True)
        ]
        encode_s = statistics.median(one.times.encoded - one.times.admitted for one in results)
        seconds = max(one.times.decoded for one in results) - began
        return Run("step-level (Argus)", served, seconds, encode_s, cpu_s), stats

    def offline(self, work: Sequence[GenerationRequest]) -> Run:
        """Everything there at once."""
        return self.by_step([0.0] * len(work), work)[0]

    def whole(self, name: str, arrivals: Sequence[float], work: Sequence[GenerationRequest]) -> Run:
        """Request-level dynamic batching: what waits, up to `most`, runs from encoding to decoding as one `pipeline()`.

        A pipeline call has one step count, so only requests with equal ones share a batch.
        """
        waiting: queue.Queue[GenerationRequest] = queue.Queue()
        served: dict[str, Served] = {}
        thread = threading.Thread(target=self._serve_whole, args=(waiting, served, len(work)))
        thread.start()
        began = submit_at(arrivals, work, waiting.put)
        thread.join()
        arrived = dict(zip((request.request_id for request in work), arrivals, strict=True))
        shifted = [
            Served(one.wait_s - began - arrived[name], one.latency_s - began - arrived[name])
            for name, one in served.items()
        ]
        return Run(name, shifted, max(one.latency_s for one in served.values()) - began)

    def one_at_a_time(self, arrivals: Sequence[float], work: Sequence[GenerationRequest]) -> Run:
        return replace(self, most=1).whole("one at a time", arrivals, work)

    def _serve_whole(self, waiting: queue.Queue[GenerationRequest], served: dict[str, Served], count: int) -> None:
        """The server's thread; times in `served` are Unix seconds here."""
        backlog: list[GenerationRequest] = []
        while len(served) < count:
            if not backlog:
                backlog.append(waiting.get())
            while not waiting.empty():
                backlog.append(waiting.get())
            together = [request for request in backlog if request.steps == backlog[0].steps][: self.most]
            backlog = [request for request in backlog if request not in together]
            started = time.time()
            self._draw(together)
            served |= {request.request_id: Served(started, time.time()) for request in together}

    def _draw(self, requests: Sequence[GenerationRequest]) -> None:
        """A whole batch from prompts to images."""
        rows = []
        for request in requests:
            guidance = request.guidance if request.level.guidance is None else request.level.guidance
            start = begin(request, request.level, self.family)
            rows.append(self.adapter.prepare(request, start, guidance))
        batch = Batch.of(rows)
        while not rows[0].sampler.done:
            self.adapter.advance(batch, self.adapter.denoise(batch))
        for index, row in enumerate(rows):
            self.adapter.decode(batch.latents[index], row.size)


def make_requests(family: Family, count: int, seed: int = 0) -> list[GenerationRequest]:
    """Requests at `exact` whose step counts differ: half have the default, the others a third of it to five sixths."""
    rng = np.random.default_rng(seed)
    d, level = family.defaults, family.level(family.reference)
    fewer = rng.integers(max(1, d.steps // 3), max(2, d.steps * 5 // 6 + 1), count)
    steps = np.where(rng.random(count) < 0.5, d.steps, fewer)
    return [
        GenerationRequest(f"bench-{n}", f"{PROMPT}, {n}", n, level, int(own), d.guidance, d.width, d.height)
        for n, own in enumerate(steps)
    ]


def poisson(rate: float, count: int, seed: int) -> list[float]:
    """Arrival times of a Poisson stream."""
    return [float(at) for at in np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))]


def submit_at(
    arrivals: Sequence[float], work: Sequence[GenerationRequest], submit: Callable[[GenerationRequest], None]
) -> float:
    """Submit each request when it arrives; answers when the first did."""
    began = time.time()
    for arrival, request in zip(arrivals, work, strict=True):
        time.sleep(max(0.0, began + arrival - time.time()))
        submit(request)
    return began
