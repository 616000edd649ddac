"""The small live check beside `bench.fairness`: an Argus of its own on this machine, two tenants with keys.

`python -m bench.fairness_live [--write]`. The quiet tenant sends a request every few seconds, alone at first; then the
other sends one job of many prompts, all interactive, and the quiet one goes on. Latencies are those of the rows. How
busy the machine was otherwise is printed: it is what makes such figures small evidence.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import UTC, datetime
from itertools import cycle, islice
from statistics import quantiles
from typing import Any

from bench.fairness import PAGE, between
from bench.live.instance import call
from bench.live.machine import hardware
from bench.own import environ, own_argus, own_home
from core.client import ArgusClient

WORDS = ("fox", "castle", "rocket", "apple", "bird", "lamp", "boat", "tree", "crown", "frog")
FINAL = ("done", "failed", "cancelled")


def main(argv: list[str]) -> int:
    """Measure, print, and write into the page with `--write`; returns the exit status."""
    parser = argparse.ArgumentParser(description="Two tenants on an Argus of its own.")
    parser.add_argument("--requests", type=int, default=20, help="of the quiet tenant, in each phase")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two of them")
    parser.add_argument("--flood", type=int, default=10_000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(argv)
    load = os.getloadavg()[0]
    with own_home("fairness") as home:
        settings = environ(home)
        with own_argus(home, settings):
            found = _measured(settings, options)
    line = _line(found, options, load)
    print(line)
    if options.write:
        PAGE.write_text(between(PAGE.read_text(), "live", line))
    return 0


def _measured(settings: dict[str, str], options: argparse.Namespace) -> dict[str, float]:
    quiet, loud = (_client(settings, tenant) for tenant in ("quiet", "loud"))
    alone = _latencies(quiet, options)
    words = islice(cycle(WORDS), options.flood)
    flood = loud.submit({"prompts": [f"a {word}, number {i}" for i, word in enumerate(words)], "title": "flood"})
    beside = _latencies(quiet, options)
    drawn = loud.job(flood["id"])["counts"]["done"]
    p95 = [quantiles(some, n=20)[-1] for some in (alone, beside)]
    return {"alone_s": p95[0], "beside_s": p95[1], "ratio": p95[1] / p95[0], "drawn": drawn}


def _client(settings: dict[str, str], tenant: str) -> ArgusClient:
    """A client with a key of a tenant that is made for it."""
    call(["tenants", "create", tenant], settings)
    made = json.loads(call(["keys", "create", tenant, "--json", "-"], settings))
    return ArgusClient(f"http://127.0.0.1:{settings['ARGUS_PORT']}", made["key"])


def _latencies(client: ArgusClient, options: argparse.Namespace) -> list[float]:
    """Seconds from acceptance to stored image of requests sent one by one."""
    jobs = []
    for i in range(options.requests):
        jobs.append(client.submit({"prompt": f"a {WORDS[i % len(WORDS)]} by the sea, take {i}"})["id"])
        time.sleep(options.every)
    return [_latency(client, job) for job in jobs]


def _latency(client: ArgusClient, job: str) -> float:
    while True:
        line: dict[str, Any] = client.lines(job)[0]
        if line["state"] in FINAL:
            return float(line["latency_s"] or "inf")
        time.sleep(0.2)


def _line(found: dict[str, float], options: argparse.Namespace, load: float) -> str:
    about = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {hardware()['name']}, load before {load:.1f}"
    return (
        f"Live, `python -m bench.fairness_live`, {about}: p95 of {options.requests} requests of the quiet tenant "
        f"{found['alone_s']:.2f} s alone, {found['beside_s']:.2f} s beside {options.flood:,} interactive prompts of "
        f"the other, ratio **{found['ratio']:.2f}**; {found['drawn']:,.0f} of those were drawn meanwhile."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
