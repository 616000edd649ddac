"""How long a submission takes: `POST /v1/jobs` with one prompt, a hundred a second for a minute, workers stopped.

    python -m bench.post [--rate 100] [--seconds 60] [--note TEXT] [--write]

The load tool is locust, in an environment of its own: so many users as there are requests a second, each with its own
connection, sending once a second and evenly apart (`bench/post/users.py`). They send when it is time, not when the
answer before has come, so an answer that is late does not hide those behind it. The same load goes to the least that a
submission could be, Flask and one commit in the same server (`bench/post/empty.py`). All run on the same processors:
what each takes of them for a call is printed beside.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil

from bench.clients.clients import Client
from bench.clients.environments import environment, versions
from bench.live.machine import hardware
from bench.own import keep, own_home, own_services, run_of
from bench.post.site import empty
from core.errors import ServiceDown
from core.settings import ROOT

KEPT, PAGE = ROOT / "docs/results/post.json", ROOT / "docs/results/post.md"
USERS = ROOT / "bench" / "post" / "users.py"
LOCUST = Client("locust", "python", ("locust==2.47.0",), "locust.py", "load")
FIRST_S = 10  # that do not count
PERCENTILES = (50.0, 95.0, 99.0, 99.9)
GOALS_MS = {95: 10, 99: 25}


def load(url: str, path: str, rate: int, seconds: int, home: Path) -> dict[str, Any]:
    """Send it; returns percentiles and processor time a call in milliseconds, and what was not answered as it should
    be."""
    servers, children = _processor_s(), resource.getrusage(resource.RUSAGE_CHILDREN)
    out = home / "answers.json"
    words = [str(environment(LOCUST) / "bin" / "locust"), "--headless", "--only-summary", "--locustfile", str(USERS)]
    words += ["--users", str(rate), "--spawn-rate", str(rate), "--run-time", f"{FIRST_S + seconds}s", "--host", url]
    own = {"POST_RATE": str(rate), "POST_PATH": path, "POST_OUT": str(out)}
    env = {name: value for name, value in os.environ.items() if not name.startswith("ARGUS_")} | own
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=seconds + 120, check=False)
    if not out.is_file():
        raise ServiceDown(f"locust ended with {done.returncode}: {done.stderr[-2000:]}")
    answers = np.array([each for each in json.loads(out.read_text()) if each[0] >= FIRST_S])
    taken = answers[:, 1]
    loaded = resource.getrusage(resource.RUSAGE_CHILDREN)
    tool_s = sum(getattr(loaded, each) - getattr(children, each) for each in ("ru_utime", "ru_stime"))
    used = {"load tool": tool_s, **{name: value - servers.get(name, 0) for name, value in _processor_s().items()}}
    calls = rate * (seconds + FIRST_S)
    return {
        "processor_ms": {name: 1000 * value / calls for name, value in used.items()},
        "requests": len(answers),
        "a_second": len(answers) / (answers[:, 0].max() - FIRST_S),
        "other_than_202": int((answers[:, 2] != 202).sum()),
        "over_a_second": int((taken > 1000).sum()),
        "mean_ms": float(taken.mean()),
        "percentiles_ms": {str(each): float(np.percentile(taken, each)) for each in PERCENTILES},
    }


def _processor_s() -> dict[str, float]:
    """Seconds of the processors that each kind of server has used, by its name, those of its children with it."""
    found: dict[str, float] = {}
    for server in psutil.Process().children():
        every = [server, *server.children(recursive=True)]
        times = [each.cpu_times() for each in every]
        name = "database" if "postgres" in server.name() else "broker" if "valkey" in server.name() else "web"
        found[name] = found.get(name, 0.0) + sum(
            time.user + time.system + time.children_user + time.children_system for time in times
        )
    return found


def page(found: dict[str, Any]) -> str:
    """The page of the results."""
    run, machine = found["run"], found["hardware"]
    goals = " and ".join(f"p{name} ≤ {goal}" for name, goal in GOALS_MS.items())
    lines = [
        "# How long a submission takes",
        "",
        f"`{run['command'].partition(' --note')[0]}`, {run['measured']}, commit {run['commit']}; "
        f"{machine['name']}, {machine['cores']} cores, "
        f"{', '.join(f'{name} {value}' for name, value in machine['versions'].items())}; load average before "
        f"{run['load_before']:.1f}. {run['rate']} requests a second for {run['seconds']} s, sent by locust "
        f"{run['locust']} on the same machine at even times, whatever the answers do; PostgreSQL, Valkey and one web "
        f"process, workers and scheduler stopped. Milliseconds, of processors on the right. The goal is {goals}.",
        "",
        "| what | answers | a second | not 202 | mean | p50 | p95 | p99 | p99.9 | web uses | database | load tool |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, each in found["loads"].items():
        shown = " | ".join(f"{value:.1f}" for value in each["percentiles_ms"].values())
        counts = f"{each['requests']:,} | {each['a_second']:.1f} | {each['other_than_202']}"
        used = " | ".join(f"{each['processor_ms'][who]:.1f}" for who in ("web", "database", "load tool"))
        lines.append(f"| {name} | {counts} | {each['mean_ms']:.1f} | {shown} | {used} |")
    least, ours = (each["percentiles_ms"] for each in found["loads"].values())
    ratios = ", ".join(f"p{name} {ours[name] / least[name]:.1f}" for name in ours)
    lines += ["", f"Ratio of a submission to the empty commit: {ratios}.", ""]
    return "\n".join([*lines, *([run["note"], ""] if run["note"] else [])])


@click.command()
@click.option("--rate", default=100, type=click.IntRange(1, 1000), show_default=True, help="Requests a second.")
@click.option("--seconds", default=60, type=click.IntRange(5, 600), show_default=True, help="For so long.")
@click.option("--note", default="", help="A sentence for the page: what else ran on the machine.")
@click.option("--write", is_flag=True, help="Write docs/results/post.json and .md.")
def main(rate: int, seconds: int, note: str, write: bool) -> None:
    """Say what a submission takes."""
    run = run_of("bench.post", rate=rate, seconds=seconds, note=note, locust=versions(LOCUST))
    with own_home("post") as home, own_services(home) as services:
        loads = {
            "Flask and one commit": load(empty(services), "/empty", rate, seconds, home),
            "`POST /v1/jobs`, one prompt": load(services.web(), "/v1/jobs", rate, seconds, home),
        }
    found = {"run": run, "hardware": hardware(), "loads": loads}
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))


if __name__ == "__main__":
    main()
