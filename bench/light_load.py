"""Does an idle or lightly loaded Argus leave pictures alone? One worker with its defaults, as `make up` starts it.

    python -m bench.light_load [--minutes 5] [--shares 0.1,0.3,0.6] [--write]

Twenty prompts one at a time, each sent when the one before is done; then Poisson arrivals at shares of the capacity at
the exact level, which is what those twenty took of the worker. Said of each: the share drawn at the exact level and the
share that was late by the server's own promise.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress

from bench.live.machine import hardware
from bench.own import keep, own_argus, own_home, run_of
from core.client import ArgusClient
from core.families import Family, load_family
from core.settings import ROOT
from traces.replay.plan import Planned, plan, read_prompts
from traces.replay.send import Sent, send, wait

KEPT, PAGE = ROOT / "docs/results/light-load.json", ROOT / "docs/results/light-load.md"
ALONE = 20  # prompts sent one at a time
DRAIN_S = 120.0


def one_at_a_time(client: ArgusClient, prompts: Sequence[str], bar: Progress) -> list[Sent]:
    """Each prompt is sent when the one before is done."""
    done: list[Sent] = []
    for number, prompt in enumerate(prompts[:ALONE]):
        sent = send(client, [Planned(0.0, prompt, number)], {"title": "alone"}, bar)
        while (row := client.get(f"/v1/requests/{sent[0].request_id}"))["state"] not in ("done", "failed"):
            time.sleep(0.02)
        sent[0].row = row
        done += sent
    return done


def at_rate(
    client: ArgusClient, per_minute: float, minutes: float, prompts: Sequence[str], bar: Progress
) -> list[Sent]:
    """Poisson arrivals for so long."""
    rng = np.random.default_rng(1)
    gaps = rng.exponential(60 / per_minute, size=max(1, round(per_minute * minutes * 2)))
    arrivals = np.cumsum(gaps)
    planned = plan(arrivals[arrivals < 60 * minutes], prompts, None, 1)
    sent = send(client, planned, {"title": "light load"}, bar)
    wait(client, sent, DRAIN_S, bar)
    return sent


def figures(sent: Sequence[Sent], family: Family) -> dict[str, Any]:
    """Shares of 1; latency in seconds, from the intended arrival."""
    levels = Counter(one.row.get("level") for one in sent if one.done)
    latencies = sorted(one.latency_s or 0.0 for one in sent if one.done)
    return {
        "requests": len(sent),
        "exact": levels[family.reference] / len(sent),
        "late": sum(one.violated for one in sent) / len(sent),
        "levels": dict(levels),
        "latency_p50_s": statistics.median(latencies) if latencies else None,
        "latency_max_s": latencies[-1] if latencies else None,
        "target_s": sent[0].slo_s,
    }


def worker_seconds(sent: Sequence[Sent]) -> float:
    """Seconds of the worker that a request at the exact level took, encoding and decoding included."""
    attempts = [one.row["attempts"][-1] for one in sent if one.done]
    median: float = statistics.median(a["encode_s"] + a["denoise_s"] + a["decode_s"] for a in attempts)
    return median


def page(found: dict[str, Any]) -> str:
    """The page of the results."""
    run, machine = found["run"], found["hardware"]
    rows = [
        f"| {name} | {part['requests']} | {part['exact']:.1%} | {part['late']:.1%} | {part['latency_p50_s']:.2f} "
        f"| {part['latency_max_s']:.2f} | {part['target_s']:.2f} |"
        for name, part in found["parts"].items()
    ]
    return "\n".join(
        [
            "# Light load: pictures are left alone while demand fits",
            "",
            f"`{run['command']}`, {run['measured']}, family {run['family']} {run['family_version']}. One generation "
            f"worker with its defaults beside all services on {machine['name']}, {machine['cores']} cores; load "
            f"average before {run['load_before']:.2f}. A request at the exact level took {run['exact_s']:.2f} s of "
            f"the worker, so the capacity at that level is {60 / run['exact_s']:.0f} requests a minute.",
            "",
            "| load | requests | drawn at the exact level | late | latency p50, s | longest, s | target, s |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            "Late is by the server's promise at acceptance (`deadline_at`), counted from the intended arrival on.",
            "",
        ]
    )


@click.command()
@click.option("--minutes", default=5.0, show_default=True, help="Length of each part with arrivals.")
@click.option("--shares", default="0.1,0.3,0.6", show_default=True, help="Arrivals as shares of exact capacity.")
@click.option("--write", is_flag=True, help="Write docs/results/light-load.json and .md.")
def main(minutes: float, shares: str, write: bool) -> None:
    """Say how many pictures an idle and a lightly loaded Argus draws at the exact level, and how many come late."""
    family = load_family("embedded")
    run = run_of("bench.light_load", family=family.id, family_version=family.version)
    prompts = read_prompts(ROOT / "profiles" / family.id / "quality.csv")
    parts: dict[str, Any] = {}
    with own_home("light") as home, own_argus(home) as client, Progress(console=Console(stderr=True)) as bar:
        alone = one_at_a_time(client, prompts, bar)
        run["exact_s"], parts["idle, one at a time"] = worker_seconds(alone), figures(alone, family)
        for share in map(float, shares.split(",")):
            sent = at_rate(client, share * 60 / run["exact_s"], minutes, prompts, bar)
            parts[f"{share:.0%} of exact capacity, {minutes:g} min"] = figures(sent, family)
    found = {"run": run, "hardware": hardware(), "parts": parts}
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))


if __name__ == "__main__":
    main()
