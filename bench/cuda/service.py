"""The engine under load: goodput when more arrives than it can do, and a device whose memory is short."""

from __future__ import annotations

from collections.abc import Callable

import torch

from bench.cuda.boxed import Findings
from bench.cuda.setup import Setup, batch_of, requests_of
from bench.serving import Server, make_requests, poisson
from core.families import Family
from workers.engine.engine import Engine
from workers.engine.loading import ModelLoader, warm_up
from workers.pipelines.base import Adapter

GOAL = 0.97  # of the offline throughput, at 110 % arrivals
SPARE = 256 << 20  # bytes that the allocator is left beside what is measured


def goodput(found: Findings, setup: Setup) -> None:
    """SDXL at 512 pixels and 8 steps: everything at once, then the same arriving at random, faster than can be done."""
    family = setup.family("sdxl", 512, steps=8)
    adapter = setup.adapter(family)
    recorded = setup.measure(adapter, family, 8)
    server = Server(family, adapter, 8)
    server.offline(make_requests(family, 4, seed=9))
    count = 6 if setup.toy else 64
    work = make_requests(family, count, seed=1)
    before = server.offline(work)
    arrivals = poisson(1.1 * before.rate, count, seed=5)
    flooded, stats = server.by_step(arrivals, work)
    after = server.offline(work)
    rate = 2 * count / (before.seconds + after.seconds)
    found.figure(
        offline_images_per_s=rate,
        arriving_images_per_s=flooded.rate,
        of_offline=flooded.rate / rate,
        cpu_s_an_image=flooded.cpu_s / count,
        rows_mean=stats["rows_mean"],
        recorded=" ".join(map(str, recorded)) or "none",
    )
    if setup.on_cuda:
        share = flooded.rate / rate
        found.expect(share >= GOAL, f"at 110 % arrivals {share:.1%} of the offline throughput (goal {GOAL:.0%})")


def memory(found: Findings, setup: Setup) -> None:
    """Most of the memory is taken: warm-up, steps and decoding find what still fits, and nobody fails."""
    family = setup.family("sdxl", steps=4)
    adapter = setup.adapter(family)
    few, many = (1, 2) if setup.toy else (2, 12)
    if not setup.on_cuda:
        return  # memory can't be made short there: tests/workers/engine/test_memory.py
    needs = {rows: 1e6 * setup.peak_mb(lambda rows=rows: _denoise(adapter, family, rows)) for rows in (few, many)}  # type: ignore[misc]
    _with_little_left(setup, (needs[few] + needs[many]) / 2, lambda: _drawn(found, setup, adapter, family, many))
    _with_little_left(setup, needs[few], lambda: _warmed(found, setup, adapter, family))


def _drawn(found: Findings, setup: Setup, adapter: Adapter, family: Family, rows: int) -> None:
    engine = Engine(family, setup.device, adapter.dtype, rows, load=lambda model: adapter, threaded=False)
    engine.load(adapter.model.id)
    futures = [engine.submit(request) for request in requests_of(family, rows, "m")]
    while engine.step():
        pass
    errors = [error for future in futures if (error := future.exception(0)) is not None]
    stats = engine.stats()
    found.figure(rows=rows, out_of_memory=stats["out_of_memory"], failed=len(errors), rows_mean=stats["rows_mean"])
    reasons = {future.result(0).reason for future in futures} if not errors else {str(errors[0])[:120]}
    text = f"{rows} rows where about half fit: {len(errors)} failed; {'; '.join(map(str, sorted(map(str, reasons))))}"
    found.expect(not errors and stats["out_of_memory"] > 0, text)


def _warmed(found: Findings, setup: Setup, adapter: Adapter, family: Family) -> None:
    request = ModelLoader(family, setup.device, adapter.dtype, 8).warm_up_request(adapter.model)
    fitted = warm_up(adapter, request, 8)
    found.expect(1 <= fitted < 8, f"warming up 8 rows where 2 fit: the model is loaded, with {fitted} rows")


@torch.inference_mode()
def _denoise(adapter: Adapter, family: Family, rows: int) -> None:
    adapter.denoise(batch_of(adapter, family, rows))


def _with_little_left(setup: Setup, room: float, work: Callable[[], object]) -> None:
    """All but so many bytes of the device are taken meanwhile."""
    setup.tidy()
    free, _ = torch.cuda.mem_get_info(setup.device)
    taken = torch.empty(max(0, int(free - room - SPARE)), dtype=torch.uint8, device=setup.device)
    try:
        work()
    finally:
        del taken
        setup.tidy()
