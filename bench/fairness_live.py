"""The small live check beside `bench.fairness`: an Argus of its own on this machine, two tenants with keys.

`python -m bench.fairness_live [--write]`. The quiet tenant sends a request every two and a half seconds. It is alone at
first; then the other sends one job of many prompts, all interactive, and the quiet one goes on from that moment; then
the flood is cancelled, and all begins again, so that a machine which gets slower or faster does so in both phases.
Latencies are those of the rows. The ratio of the two p95 has a 95 % interval, by a bootstrap over the requests of each
phase. How busy the machine was otherwise is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import cycle, islice
from typing import Any

import numpy as np

from bench.fairness import PAGE, between
from bench.live.instance import call
from bench.live.machine import hardware
from bench.own import environ, own_argus, own_home
from core.client import ArgusClient

WORDS = ("fox", "castle", "rocket", "apple", "bird", "lamp", "boat", "tree", "crown", "frog")
FINAL = ("done", "failed", "cancelled")
WARM = 8  # requests
SETTLED_S = 5.0  # in which what ran of a flood has ended


def main(argv: list[str]) -> int:
    """Measure, print, and write into the page with `--write`; returns the exit status."""
    parser = argparse.ArgumentParser(description="Two tenants on an Argus of its own.")
    parser.add_argument("--rounds", type=int, default=2, help="of both phases")
    parser.add_argument("--requests", type=int, default=40, help="of the quiet tenant, in each phase of a round")
    parser.add_argument("--every", type=float, default=2.5, help="seconds between two of them")
    parser.add_argument("--flood", type=int, default=10_000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(argv)
    load = os.getloadavg()[0]
    with own_home("fairness") as home:
        settings = environ(home)
        with own_argus(home, settings):
            found = _measured(settings, options)
    for phase in ("alone", "beside"):
        print(phase, *(f"{seconds:.2f}" for seconds in found[phase]))
    line = _line(found, options, load)
    print(line)
    if options.write:
        PAGE.write_text(between(PAGE.read_text(), "live", line))
    return 0


def _measured(settings: dict[str, str], options: argparse.Namespace) -> dict[str, Any]:
    quiet, loud = (_client(settings, tenant) for tenant in ("quiet", "loud"))
    alone, beside, counts = list[float](), list[float](), Counter[str]()
    _latencies(quiet, WARM, options.every)  # until all that loads and is measured at the start has been
    for _ in range(options.rounds):
        alone += _latencies(quiet, options.requests, options.every)
        words = islice(cycle(WORDS), options.flood)
        flood = loud.submit({"prompts": [f"a {word}, number {i}" for i, word in enumerate(words)], "title": "flood"})
        beside += _latencies(quiet, options.requests, options.every)
        counts.update(loud.job(flood["id"])["counts"])
        loud.cancel(flood["id"])
        time.sleep(SETTLED_S)
    return {"alone": np.array(alone), "beside": np.array(beside), "counts": counts}


def ratio_of_p95(alone: np.ndarray, beside: np.ndarray, rounds: int = 10_000) -> tuple[float, float, float]:
    """The p95 of seconds beside over that alone, and its 95 % interval by a bootstrap over the requests (n,)."""
    rng = np.random.default_rng(1)
    drawn = (np.percentile(rng.choice(some, (rounds, len(some))), 95, axis=1) for some in (beside, alone))
    low, high = np.percentile(np.divide(*drawn), [2.5, 97.5])
    return float(np.percentile(beside, 95) / np.percentile(alone, 95)), float(low), float(high)


def _client(settings: dict[str, str], tenant: str) -> ArgusClient:
    """A client with a key of a tenant that is made for it."""
    call(["tenants", "create", tenant], settings)
    made = json.loads(call(["keys", "create", tenant, "--json", "-"], settings))
    return ArgusClient(f"http://127.0.0.1:{settings['ARGUS_PORT']}", made["key"])


def _latencies(client: ArgusClient, count: int, every_s: float) -> list[float]:
    """Seconds from acceptance to stored image of requests sent at even intervals."""
    jobs = []
    for i in range(count):
        sent = time.monotonic()
        jobs.append(client.submit({"prompt": f"a {WORDS[i % len(WORDS)]} by the sea, take {i}"})["id"])
        time.sleep(max(0.0, sent + every_s - time.monotonic()))
    return [_latency(client, job) for job in jobs]


def _latency(client: ArgusClient, job: str) -> float:
    while True:
        line: dict[str, Any] = client.lines(job)[0]
        if line["state"] in FINAL:
            return float(line["latency_s"] or "inf")
        time.sleep(0.2)


def _line(found: dict[str, Any], options: argparse.Namespace, load: float) -> str:
    about = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {hardware()['name']}, load before {load:.1f}"
    ratio, low, high = ratio_of_p95(found["alone"], found["beside"])
    p95, median = ([np.percentile(found[phase], q) for phase in ("alone", "beside")] for q in (95, 50))
    counts, n, first = found["counts"], options.rounds, found["beside"][:: options.requests]
    return (
        f"Live, `python -m bench.fairness_live`, {about}: p95 of {len(found['alone'])} requests of the quiet tenant "
        f"{p95[0]:.2f} s alone, of as many {p95[1]:.2f} s beside {options.flood:,} interactive prompts of the other, "
        f"ratio **{ratio:.2f}** (95 % interval {low:.2f} to {high:.2f}); medians {median[0]:.2f} and "
        f"{median[1]:.2f} s. Of a flood {counts['done'] / n:,.0f} were drawn meanwhile, "
        f"and {counts['accepted'] / n:,.0f} not routed yet, on average of {n} rounds; the first request after a flood "
        f"took {' and '.join(f'{seconds:.2f}' for seconds in first)} s."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
