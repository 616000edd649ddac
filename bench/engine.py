"""Step-level batching against whole-request batching and one at a time: same device, same requests, one run.

    make bench-engine                  everything, about twelve minutes
    python -m bench.engine --part loop --seconds 60

Four parts: `loop` (random arrivals below and above what the engine carries offline), `cache` (hit rates on real prompts),
`index` (look-up times at 10,000 and 100,000 prompts), `memory` (nothing grows). Prints tables; `--write` puts them
into docs/results/engine.md, `--json OUT` into a file for programs.
"""

from __future__ import annotations

import json
import os
import queue
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from bench import lookups
from core.families import ROOT, Family, load_family
from core.similarity import deepest
from workers.engine.curve import StepCurve
from workers.engine.engine import Engine
from workers.engine.request import Order
from workers.engine.running_batch import Lane
from workers.engine.running_request import Ticket
from workers.latent_cache.index import Entry, ExactIndex, Kind
from workers.measure.profile import PROMPT, hardware
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter
from workers.strategies import begin

SHARED = Path(os.environ.get("ARGUS_SHARED", ROOT.parent / "shared"))
PROMPTS = SHARED / "prompts" / "diffusiondb-0001-2500.txt"
RESULTS = ROOT / "docs" / "results" / "engine.md"
LOAD, FLOOD = 0.9, 1.1  # arrivals, as shares of the offline throughput
SLO = 3.0  # times what one exact request takes alone
KEPT = (5, 10, 15, 20, 25)  # of 50 steps, as published


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
    encode_s: float = 0.0  # median, from being taken in to being encoded
    cpu_s: float = 0.0  # of the whole process, all threads

    @property
    def rate(self) -> float:
        """Images a second."""
        return len(self.served) / self.seconds

    def row(self, slo_s: float, offline: float) -> dict[str, Any]:
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


# --- the loop ---------------------------------------------------------------------------------------------------


def orders(family: Family, count: int, seed: int = 0) -> list[Order]:
    """Requests at `exact` whose step counts differ: half have the default, the others a third of it to five sixths."""
    rng = np.random.default_rng(seed)
    d, level = family.defaults, family.level(family.reference)
    fewer = rng.integers(max(1, d.steps // 3), max(2, d.steps * 5 // 6 + 1), count)
    steps = np.where(rng.random(count) < 0.5, d.steps, fewer)
    return [
        Order(f"bench-{n}", f"{PROMPT}, {n}", n, level, int(own), d.guidance, d.width, d.height)
        for n, own in enumerate(steps)
    ]


def at_times(arrivals: Sequence[float], work: Sequence[Order], take: Callable[[Order], None]) -> float:
    """Hand each order over when it arrives; answers when the first did."""
    began = time.time()
    for moment, order in zip(arrivals, work, strict=True):
        time.sleep(max(0.0, began + moment - time.time()))
        take(order)
    return began


def serve_by_step(engine: Engine, arrivals: Sequence[float], work: Sequence[Order]) -> Run:
    """The engine: a newcomer joins at the next step."""
    futures: list[Any] = []
    began = at_times(arrivals, work, lambda order: futures.append(engine.submit(order)))
    outcomes = [future.result() for future in futures]
    served = [
        Served(one.times.started - began - moment, one.times.decoded - began - moment)
        for one, moment in zip(outcomes, arrivals, strict=True)
    ]
    encode_s = statistics.median(one.times.encoded - one.times.admitted for one in outcomes)
    return Run("step-level (Argus)", served, max(one.times.decoded for one in outcomes) - began, encode_s)


def serve_whole(
    name: str, adapter: Adapter, family: Family, most: int, arrivals: Sequence[float], work: Sequence[Order]
) -> Run:
    """Request-level dynamic batching: what waits, up to `most`, runs from encoding to decoding as one `pipeline()`.

    A pipeline call has one step count, so only requests with equal ones share a batch.
    """
    waiting: queue.Queue[Order] = queue.Queue()
    served: dict[str, Served] = {}
    thread = threading.Thread(target=_whole, args=(adapter, family, most, waiting, served, len(work)))
    thread.start()
    began = at_times(arrivals, work, waiting.put)
    thread.join()
    moments = dict(zip((order.request_id for order in work), arrivals, strict=True))
    shifted = [
        Served(one.wait_s - began - moments[name], one.latency_s - began - moments[name])
        for name, one in served.items()
    ]
    return Run(name, shifted, max(one.latency_s for one in served.values()) - began)


def _whole(
    adapter: Adapter,
    family: Family,
    most: int,
    waiting: queue.Queue[Order],
    served: dict[str, Served],
    count: int,
) -> None:
    """The server's thread; times in `served` are Unix seconds here."""
    backlog: list[Order] = []
    while len(served) < count:
        if not backlog:
            backlog.append(waiting.get())
        while not waiting.empty():
            backlog.append(waiting.get())
        batch = [order for order in backlog if order.steps == backlog[0].steps][:most]
        backlog = [order for order in backlog if order not in batch]
        started = time.time()
        for order in _draw(adapter, family, batch):
            served[order.request_id] = Served(started, time.time())


def _draw(adapter: Adapter, family: Family, batch: list[Order]) -> list[Order]:
    """A whole batch from prompts to images."""
    lane = Lane(adapter, len(batch))
    for order in batch:
        ticket = Ticket(order, order.level)
        guidance = order.guidance if order.level.guidance is None else order.level.guidance
        ticket.row = adapter.prepare(order, begin(order, order.level, family), guidance)
        lane.join(ticket)
    rows = lane.batch(0, len(lane))
    while not rows.rows[0].walk.done:
        adapter.advance(rows, adapter.denoise(rows))
    for index, row in enumerate(rows.rows):
        adapter.decode(lane.latents[index], row.size)
    return batch


def bench_loop(family: Family, seconds: float, most: int) -> dict[str, Any]:
    """Offline throughput, random arrivals above it, then the same random arrivals below it three ways.

    Offline runs before and after what it is compared with, on the same requests: the mean of the two is the measure.
    """
    model = family.level(family.reference).model
    adapter = load_adapter(family.models[model], "cpu", torch.float32)
    _offline(family, adapter, most, orders(family, 2, seed=9))  # warm
    one = [replace(orders(family, 1)[0], steps=family.defaults.steps)]
    alone = sorted((_offline(family, adapter, most, one) for _ in range(3)), key=lambda run: run.seconds)[1]
    guess = _offline(family, adapter, most, orders(family, max(3 * most, int(seconds / 3)), seed=1)).rate
    flood = orders(family, max(20, int(FLOOD * guess * seconds)), seed=4)
    before = _offline(family, adapter, most, flood)
    flooding = _random(FLOOD * before.rate, len(flood), seed=5)
    flooded, _ = _by_step(family, adapter, most, flooding, flood)
    after = _offline(family, adapter, most, flood)
    rate = 2 * len(flood) / (before.seconds + after.seconds)
    work = orders(family, max(20, int(LOAD * rate * seconds)), seed=3)
    arrivals = _random(LOAD * rate, len(work), seed=2)
    by_step, stats = _by_step(family, adapter, most, arrivals, work)
    runs = [
        by_step,
        serve_whole("request-level batches", adapter, family, most, arrivals, work),
        serve_whole("one at a time", adapter, family, 1, arrivals, work),
    ]
    curve = StepCurve(stats["step_s"][model])
    return {
        "offline_images_per_s": rate,
        "offline_runs": [before.rate, after.rate],
        "flood": {
            "requests": len(flood),
            "arrivals_per_s": FLOOD * before.rate,
            "images_per_s": flooded.rate,
            "of_offline": flooded.rate / rate,
            "cpu_s": flooded.cpu_s / len(flood),
            "cpu_offline_s": (before.cpu_s + after.cpu_s) / 2 / len(flood),
            "last_arrival_s": flooding[-1],
            "seconds": flooded.seconds,
        },
        "arrivals_per_s": LOAD * rate,
        "requests": len(work),
        "max_batch": most,
        "steps": [family.defaults.steps // 3, family.defaults.steps * 5 // 6, family.defaults.steps],
        "alone_s": alone.seconds,
        "slo_s": SLO * alone.seconds,
        "rows_mean": stats["rows_mean"],
        "step_s": {str(rows): seconds for rows, seconds in sorted(curve.points.items())},
        "step_at_mean_s": curve.seconds(max(1, round(stats["rows_mean"]))),
        "encode_s": alone.encode_s,
        "ways": [run.row(SLO * alone.seconds, rate) for run in runs],
    }


def _random(rate: float, count: int, seed: int) -> list[float]:
    """Arrival times of a Poisson stream."""
    return [float(at) for at in np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))]


def _offline(family: Family, adapter: Adapter, most: int, work: Sequence[Order]) -> Run:
    """Everything there at once."""
    return _by_step(family, adapter, most, [0.0] * len(work), work)[0]


def _by_step(
    family: Family, adapter: Adapter, most: int, arrivals: Sequence[float], work: Sequence[Order]
) -> tuple[Run, dict[str, Any]]:
    """An engine of its own for these arrivals, and its counters."""
    with _engine(family, adapter, most) as engine:
        engine.load(adapter.model.id)
        before = time.process_time()
        run = serve_by_step(engine, arrivals, work)
        return replace(run, cpu_s=time.process_time() - before), engine.stats()


@contextmanager
def _engine(family: Family, adapter: Adapter, most: int) -> Iterator[Engine]:
    engine = Engine(family, max_batch=most, load=lambda model: adapter)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


# --- the cache --------------------------------------------------------------------------------------------------


def embedded(prompts: Sequence[str]) -> np.ndarray:
    """Sentence vectors [n, 384]."""
    from core.text import shared_encoder

    return shared_encoder().sentences(prompts).numpy()


def bench_cache(vectors: np.ndarray) -> dict[str, Any]:
    """Prompts in their order, each looked up among those before it: how deep it could have started, of 50 steps."""
    kind = Kind("bench", "", "", 0, 0, 50, "")
    index, depths = ExactIndex(), Counter[int]()
    for number, vector in enumerate(vectors):
        match = index.nearest(kind, vector)
        allowed = 0 if match is None else deepest(match.similarity, max(KEPT), 50)
        depths[max((k for k in KEPT if k <= allowed), default=0)] += 1
        index.add(kind, vector, [Entry(f"{number}-{k}", k, 0) for k in KEPT])
    total = len(vectors)
    return {
        "prompts": total,
        "hit_rate": 1 - depths[0] / total,
        "by_k": {str(k): depths[k] / total for k in KEPT},
        "steps_saved": sum(k * n for k, n in depths.items()) / (50 * total),
    }


# --- memory -----------------------------------------------------------------------------------------------------


def bench_memory(family: Family, requests: int, most: int) -> dict[str, Any]:
    """Resident memory of this process while one-step requests of the smallest model pass through the engine."""
    import gc

    import psutil

    smallest = min(family.models.values(), key=lambda model: _weight(model.location))
    level = family.levels_of(smallest.id)[0]
    adapter = load_adapter(smallest, "cpu", torch.float32)
    process, seen = psutil.Process(), []
    with _engine(family, adapter, most) as engine:
        for batch in range(10):
            work = [
                replace(order, level=level, steps=1, request_id=f"{batch}-{n}")
                for n, order in enumerate(orders(family, requests // 10))
            ]
            for order in work[: len(work)]:
                engine.submit(replace(order, guidance=1.0)).result()
            gc.collect()
            seen.append(process.memory_info().rss / 1e6)
    return {"requests": requests, "model": smallest.id, "first_mb": seen[0], "last_mb": seen[-1]}


def _weight(location: str) -> int:
    return sum(file.stat().st_size for file in Path(location).glob("*.safetensors")) or 10**18


# --- the report -------------------------------------------------------------------------------------------------


def report(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    machine = found["hardware"]
    lines = [
        "# The engine, measured",
        "",
        f"`{found['command']}` on {machine['name']}, {machine['threads']} torch thread(s), {machine['dtype']}, torch {machine['torch']}, "
        f"diffusers {machine['diffusers']}; {found['measured']}; load average before: {found['load_before']:.1f}.",
        "",
    ]
    for part, write in (
        ("loop", _loop_text),
        ("cache", _cache_text),
        ("index", lookups.report),
        ("memory", _memory_text),
    ):
        if part in found:
            lines += [*write(found[part]), ""]
    return "\n".join(lines)


def _loop_text(loop: dict[str, Any]) -> list[str]:
    base, flood, (low, high, usual) = loop["ways"][0], loop["flood"], loop["steps"]
    rows = [
        f"| {way['way']} | {way['images_per_s']:.2f} | {way['of_offline']:.0%} | {way['in_time']:.0%} | {way['wait_mean_s']:.3f} "
        f"| {way['latency_p50_s']:.2f} | {way['latency_p95_s']:.2f} | {way['latency_p50_s'] / base['latency_p50_s']:.1f}× |"
        for way in loop["ways"]
    ]
    steps = ", ".join(f"{n} rows {1000 * seconds:.0f} ms" for n, seconds in loop["step_s"].items())
    offline = " and ".join(f"{rate:.2f}" for rate in loop["offline_runs"])
    bound = loop["step_at_mean_s"] + loop["encode_s"]
    return [
        "## The loop under random arrivals",
        "",
        f"Requests at `exact`, half with {usual} steps, the others with {low} to {high}; at most {loop['max_batch']} rows a step. "
        f"Offline (everything there at once) the engine draws {loop['offline_images_per_s']:.2f} images/s ({offline}, before and "
        "after). Why goodput is read in two ways: docs/decisions/0026.",
        "",
        f"**Saturated.** The same {flood['requests']} requests, arriving at random at {flood['arrivals_per_s']:.2f}/s "
        f"({FLOOD:.0%}): {flood['images_per_s']:.2f} images/s, **{flood['of_offline']:.1%} of offline** (goal: 95 %). The last came "
        f"after {flood['last_arrival_s']:.1f} s, the last image after {flood['seconds']:.1f} s. An image takes {flood['cpu_s']:.3f} s of CPU, offline "
        f"{flood['cpu_offline_s']:.3f} s.",
        "",
        f"**At {LOAD:.0%}.** {loop['requests']} requests arrive at random at {loop['arrivals_per_s']:.2f}/s. In time: within "
        f"{SLO:g} × {loop['alone_s']:.2f} s, what one request of {usual} steps takes alone.",
        "",
        "| way | images/s | of offline | in time, of what arrived | mean wait before the first step, s | p50, s | p95, s | p50 against Argus |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        f"Mean rows of a step: {loop['rows_mean']:.1f}. A step takes: {steps}. One step at that many rows and one encoding "
        f"({1000 * loop['encode_s']:.0f} ms) take {bound:.3f} s; the mean wait is {base['wait_mean_s']:.3f} s "
        f"({'within' if base['wait_mean_s'] < bound else '**above**'} the goal).",
    ]


def _cache_text(cache: dict[str, Any]) -> list[str]:
    by_k = ", ".join(f"K={k}: {share:.1%}" for k, share in cache["by_k"].items())
    return [
        "## Approximate caching on real prompts",
        "",
        f"{cache['prompts']} DiffusionDB prompts in order, each compared with those before it: {cache['hit_rate']:.1%} find one near "
        f"enough ({by_k} of 50 steps); steps saved: {cache['steps_saved']:.1%}.",
    ]


def _memory_text(memory: dict[str, Any]) -> list[str]:
    return [
        "## Memory",
        "",
        f"{memory['requests']:,} requests through `{memory['model']}`: {memory['first_mb']:.0f} MB after the first tenth, "
        f"{memory['last_mb']:.0f} MB after the last.",
    ]


def _on_prompts(wanted: Sequence[str], sizes: Sequence[int]) -> dict[str, Any]:
    """The parts that need real prompts."""
    if not PROMPTS.is_file():
        raise click.ClickException(f"{PROMPTS} is not there: set ARGUS_SHARED, or name other parts with --part.")
    vectors = embedded(PROMPTS.read_text(encoding="utf-8").splitlines())
    found: dict[str, Any] = {}
    if "cache" in wanted:
        found["cache"] = bench_cache(vectors)
    if "index" in wanted:
        found["index"] = lookups.bench(vectors, sizes)
    return found


@click.command()
@click.option("--family", default="embedded", show_default=True, help="Family to run.")
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(["loop", "cache", "index", "memory"]),
    help="Only these parts.",
)
@click.option("--seconds", default=45.0, show_default=True, help="Length of the arrivals of `loop`.")
@click.option("--max-batch", default=8, show_default=True, help="Most rows of a step.")
@click.option("--threads", default=1, show_default=True, help="torch threads.")
@click.option("--index-sizes", default="10000,100000", show_default=True, help="Prompts in the index.")
@click.option("--requests", default=10_000, show_default=True, help="Requests of `memory`.")
@click.option("--write", is_flag=True, help="Write docs/results/engine.md.")
@click.option("--json", "out", type=click.Path(path_type=Path), default=None, help="Write the numbers here.")
def main(
    family: str,
    parts: tuple[str, ...],
    seconds: float,
    max_batch: int,
    threads: int,
    index_sizes: str,
    requests: int,
    write: bool,
    out: Path | None,
) -> None:
    """Measure the engine on this machine."""
    torch.set_num_threads(threads)
    served = load_family(family)
    wanted = parts or ("loop", "cache", "index", "memory")
    found: dict[str, Any] = {
        "command": " ".join(["python -m bench.engine", *sys.argv[1:]]),
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "hardware": hardware("cpu", torch.float32),
        "load_before": os.getloadavg()[0],
    }
    if "loop" in wanted:
        found["loop"] = bench_loop(served, seconds, max_batch)
    if {"cache", "index"} & set(wanted):
        found |= _on_prompts(wanted, [int(size) for size in index_sizes.split(",")])
    if "memory" in wanted:
        found["memory"] = bench_memory(served, requests, max_batch)
    text = report(found)
    click.echo(text)
    if write:
        RESULTS.write_text(text, encoding="utf-8")
    if out is not None:
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
