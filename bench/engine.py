"""Step-level batching against whole-request batching and one at a time: same device, same requests, one run.

    make bench-engine                  everything, more than twelve minutes on two cores
    python -m bench.engine --part loop --seconds 60 [--device cuda:0]

Four parts: `loop` (random arrivals below and above what the engine carries offline), `cache` (hit rates on real
prompts), `index` (look-up times at 10,000 and 100,000 prompts), `memory` (nothing grows). Prints tables; `--write` puts
them into docs/results/engine.md, `--json OUT` into a file for programs.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil
import torch

from bench import lookups
from bench.engine_page import FLOOD, LOAD, SLO, report
from bench.serving import Server, make_requests, poisson
from core import devices
from core.cached_latents import Kind
from core.families import Family, load_family
from core.settings import ROOT
from core.similarity import deepest
from core.step_curve import StepCurve
from workers.engine.loading import configured_dtype
from workers.latent_cache.entries import Entry
from workers.latent_cache.exact_index import ExactIndex
from workers.measure.hardware import hardware
from workers.pipelines import load_adapter

SHARED = Path(os.environ.get("ARGUS_SHARED", ROOT.parent / "shared"))
PROMPTS = SHARED / "prompts" / "diffusiondb-0001-2500.txt"
RESULTS = ROOT / "docs" / "results" / "engine.md"
KEPT = (5, 10, 15, 20, 25)  # of 50 steps, as published


def bench_loop(family: Family, device: str, dtype: torch.dtype, seconds: float, most: int) -> dict[str, Any]:
    """Offline throughput, random arrivals above it, then the same random arrivals below it three ways.

    Offline runs before and after what it is compared with, on the same requests: the mean of the two is the measure.
    """
    model = family.level(family.reference).model
    server = Server(family, load_adapter(family.models[model], device, dtype), most)
    server.offline(make_requests(family, 2, seed=9))  # warm
    one = [replace(make_requests(family, 1)[0], steps=family.defaults.steps)]
    alone = sorted((server.offline(one) for _ in range(3)), key=lambda run: run.seconds)[1]
    rate, saturated = bench_saturated(server, seconds)
    work = make_requests(family, max(20, int(LOAD * rate * seconds)), seed=3)
    arrivals = poisson(LOAD * rate, len(work), seed=2)
    by_step, stats = server.by_step(arrivals, work)
    runs = [by_step, server.whole("request-level batches", arrivals, work), server.one_at_a_time(arrivals, work)]
    curve = StepCurve.of(stats["step_s"][model])
    return {
        **saturated,
        "arrivals_per_s": LOAD * rate,
        "requests": len(work),
        "max_batch": most,
        "steps": [family.defaults.steps // 3, family.defaults.steps * 5 // 6, family.defaults.steps],
        "alone_s": alone.seconds,
        "slo_s": SLO * alone.seconds,
        "rows_mean": stats["rows_mean"],
        "step_s": {str(rows): seconds for rows, seconds in curve.points.items()},
        "step_at_mean_s": curve.step_s(max(1, round(stats["rows_mean"]))),
        "encode_s": alone.encode_s,
        "ways": [run.row(SLO * alone.seconds, rate) for run in runs],
    }


def bench_saturated(server: Server, seconds: float) -> tuple[float, dict[str, Any]]:
    """Offline throughput (images a second), and what remains of it when more arrives at random than that."""
    family = server.family
    guess = server.offline(make_requests(family, max(3 * server.most, int(seconds / 3)), seed=1)).rate
    work = make_requests(family, max(20, int(FLOOD * guess * seconds)), seed=4)
    before = server.offline(work)
    arrivals = poisson(FLOOD * before.rate, len(work), seed=5)
    flooded, _ = server.by_step(arrivals, work)
    after = server.offline(work)
    rate = 2 * len(work) / (before.seconds + after.seconds)
    return rate, {
        "offline_images_per_s": rate,
        "offline_runs": [before.rate, after.rate],
        "flood": {
            "requests": len(work),
            "arrivals_per_s": FLOOD * before.rate,
            "images_per_s": flooded.rate,
            "of_offline": flooded.rate / rate,
            "cpu_s": flooded.cpu_s / len(work),
            "cpu_offline_s": (before.cpu_s + after.cpu_s) / 2 / len(work),
            "last_arrival_s": arrivals[-1],
            "seconds": flooded.seconds,
        },
    }


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


def bench_memory(family: Family, count: int, most: int) -> dict[str, Any]:
    """Resident memory of this process while one-step requests of the smallest model and size go through the engine."""
    smallest = min(family.models.values(), key=lambda model: _weight(model.location))
    level = family.levels_of(smallest.id)[0]
    server = Server(family, load_adapter(smallest, "cpu", torch.float32), most)
    width, height = min(family.limits.sizes)
    process, seen = psutil.Process(), []
    with server.engine() as engine:
        for batch in range(10):
            for number, request in enumerate(make_requests(family, count // 10)):
                name = f"{batch}-{number}"
                small = replace(request, level=level, steps=1, guidance=1.0, width=width, height=height)
                engine.submit(replace(small, request_id=name)).result()
            gc.collect()
            seen.append(process.memory_info().rss / 1e6)
    return {"requests": count, "model": smallest.id, "first_mb": seen[0], "last_mb": seen[-1]}


def _weight(location: str) -> int:
    return sum(file.stat().st_size for file in Path(location).glob("*.safetensors")) or 10**18


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
@click.option("--device", default="cpu:0", show_default=True, help="Device to run `loop` on, e.g. cpu:0 or cuda:0.")
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
    device: str,
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
    on, dtype = devices.torch_device(devices.checked(device)), configured_dtype(device)
    wanted = parts or ("loop", "cache", "index", "memory")
    found = _conditions(on, dtype)
    if "loop" in wanted:
        found["loop"] = bench_loop(served, on, dtype, seconds, max_batch)
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


def _conditions(device: str, dtype: torch.dtype) -> dict[str, Any]:
    """Under what a run was measured."""
    return {
        "command": " ".join(["python -m bench.engine", *sys.argv[1:]]),
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "hardware": hardware(device, dtype),
        "load_before": os.getloadavg()[0],
    }


if __name__ == "__main__":
    main()
