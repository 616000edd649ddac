"""How much longer does an answer take than its drawing? One image at a time through OpenAI's address, on an idle Argus.

    python -m bench.facade [--calls 60] [--pause 2] [--write]

One worker with its defaults beside all services, and a pause after each call: calls without one are all that a worker
can carry, and while a plan expects so much the router reads each prompt before it chooses a level. A call's time is the
client's, from sending to the last byte of the answer; its drawing is what PostgreSQL says of the same request, from the
worker's claim to the stored image. What lies between is the overhead: accepting, routing, the message to the worker,
and the answer with the image in it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click
import numpy as np
import requests

from bench.live.machine import hardware, told
from bench.own import keep, own_argus, own_home, run_of
from core.client import ArgusClient
from core.settings import ROOT
from traces.replay.plan import read_prompts

KEPT, PAGE = ROOT / "docs/results/facade.json", ROOT / "docs/results/facade.md"
GOAL_MS = 60.0
FIRST = 5  # calls before those that count
ANSWERS_S = 300.0
PARTS = {
    "accepted to routed": ("accepted_at", "routed_at"),
    "routed to claimed": ("routed_at", "started_at"),
    "claimed to stored (drawing)": ("started_at", "stored_at"),
}


def measure(argus: ArgusClient, prompt: str, form: str, pause_s: float) -> dict[str, float]:
    """Milliseconds of one call, made after a pause, and of its parts."""
    time.sleep(pause_s)
    body = {"prompt": prompt, "response_format": form}
    began = time.perf_counter()
    answer = requests.post(f"{argus.url}/v1/images/generations", json=body, timeout=ANSWERS_S)
    took = 1000 * (time.perf_counter() - began)
    answer.raise_for_status()
    (item,) = answer.json()["data"]
    times = argus.get(f"/v1/requests/{item['argus']['request_id']}")["times"]
    at = {name: datetime.fromisoformat(value).timestamp() for name, value in times.items() if value}
    parts = {name: 1000 * (at[end] - at[start]) for name, (start, end) in PARTS.items()}
    drawing = parts["claimed to stored (drawing)"]
    return {"call": took, **parts, "before and after": took - sum(parts.values()), "overhead": took - drawing}


def summary(calls: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median of each part with its 95 % interval (bootstrap over the calls), and the 95th percentile."""
    rng = np.random.default_rng(1)
    found = {}
    for name in calls[0]:
        values = np.array([each[name] for each in calls])
        medians = np.median(rng.choice(values, (2000, len(values))), axis=1)
        low, high = np.percentile(medians, [2.5, 97.5])
        p95 = float(np.percentile(values, 95))
        found[name] = {"median": float(np.median(values)), "low": float(low), "high": float(high), "p95": p95}
    return found


def page(found: dict[str, Any]) -> str:
    """The page of the results."""
    run, machine = found["run"], found["hardware"]
    lines = [
        "# An answer through OpenAI's address, and the drawing in it",
        "",
        f"`{run['command']}`, {run['measured']}, commit {run['commit']}; {told(machine)}; "
        f"load average before {run['load_before']:.1f}. One worker with its defaults beside all services; "
        f"{run['calls']} calls of each kind, one at a time, {run['pause_s']:g} s between them. Milliseconds; the "
        f"interval is 95 % of the median. The goal is an overhead of at most {GOAL_MS:.0f} ms.",
    ]
    for form, parts in found["parts"].items():
        lines += [
            "",
            f"## `response_format: {form}`",
            "",
            "| part | median | interval | p95 |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| {name} | {part['median']:.1f} | {part['low']:.1f} to {part['high']:.1f} | {part['p95']:.1f} |"
            for name, part in parts.items()
        ]
    return "\n".join([*lines, ""])


@click.command()
@click.option("--calls", default=60, type=click.IntRange(1, 140), show_default=True, help="Calls of each kind.")
@click.option("--pause", "pause_s", default=2.0, type=click.FloatRange(0), show_default=True, help="Seconds between.")
@click.option("--write", is_flag=True, help="Write docs/results/facade.json and .md.")
def main(calls: int, pause_s: float, write: bool) -> None:
    """Say what an answer takes beside its drawing."""
    run = run_of("bench.facade", calls=calls, pause_s=pause_s)
    prompts = read_prompts(ROOT / "profiles" / "embedded" / "quality.csv")
    parts = {}
    with own_home("facade") as home, own_argus(home) as argus:
        for place, form in enumerate(("url", "b64_json")):
            first = place * (FIRST + calls)  # no prompt comes twice: one that is known is read faster
            mine = prompts[first : first + FIRST + calls]
            taken = [measure(argus, prompt, form, pause_s) for prompt in mine]
            parts[form] = summary(taken[FIRST:])
    found = {"run": run, "hardware": hardware(), "parts": parts}
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))


if __name__ == "__main__":
    main()
