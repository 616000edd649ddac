"""How far off the time that jobs are said to take is, at 25, 50 and 75 % of them.

    python -m bench.eta [--prompts 120] [--share 0.3] [--write]
    python -m bench.eta --simulated [--write]

One Argus as `make up` starts it; a job of batch work on its own, then one beside Poisson arrivals of interactive
requests. What `eta` of the job says when so much of it is drawn is compared with the time that it then takes.
Simulated: a job's images end at random times, as rows, and the same code reads them (`bench.eta_simulated`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from bench import eta_simulated
from bench.light_load import at_rate, one_at_a_time, worker_seconds
from bench.live.machine import hardware
from bench.own import keep, own_argus, own_home, run_of
from core.client import ArgusClient
from core.families import load_family
from core.settings import ROOT
from traces.replay.plan import read_prompts

KEPT, PAGE = ROOT / "docs/results/eta.json", ROOT / "docs/results/eta.md"
LOOKS = (0.0, 0.25, 0.5, 0.75)
LOOK_S, PATIENCE_S = 0.25, 900.0


def watched(client: ArgusClient, prompts: Sequence[str], size: int) -> list[dict[str, float | None]]:
    """A job of batch work drawn to its end; what was said of it on the way, and what it took from there."""
    wanted = {"prompts": [prompts[n % len(prompts)] for n in range(size)], "service_class": "batch", "title": "eta"}
    job, looks, begun = client.submit(wanted)["id"], list(LOOKS), time.monotonic()
    seen: list[tuple[float, float, float | None]] = []
    while (state := client.job(job))["progress"] < 1.0 and time.monotonic() < begun + PATIENCE_S:
        if looks and state["progress"] >= looks[0]:
            said = state["eta"]["seconds"] if state["eta"] else None
            seen.append((looks.pop(0), time.monotonic(), said))
        time.sleep(LOOK_S)
    ended = time.monotonic()
    return [{"at": share, "said_s": said, "took_s": ended - when} for share, when, said in seen]


def beside_arrivals(
    client: ArgusClient, prompts: Sequence[str], size: int, per_minute: float, bar: Progress
) -> list[dict[str, float | None]]:
    """The same while interactive requests come, from a little before it to its end."""
    over = threading.Event()

    def arrive() -> None:
        while not over.is_set():
            at_rate(client, per_minute, 0.5, prompts, bar)

    thread = threading.Thread(target=arrive, daemon=True)
    thread.start()
    time.sleep(10.0)
    try:
        return watched(client, prompts, size)
    finally:
        over.set()
        thread.join(PATIENCE_S)


def page(found: dict[str, Any]) -> str:
    """The page of the results."""
    run, machine = found["run"], found["hardware"]
    rows = []
    for name, looks in found["parts"].items():
        for look in looks:
            said = look["said_s"]
            off = "–" if said is None else f"{said / look['took_s'] - 1:+.0%}"
            shown = "–" if said is None else f"{said:.0f}"
            rows.append(f"| {name} | {look['at']:.0%} | {shown} | {look['took_s']:.0f} | {off} |")
    return "\n".join(
        [
            "# How far off the time is that a job is said to take",
            "",
            f"`{run['command']}`, {run['measured']}, commit {run['commit']}, family {run['family']}. One generation "
            f"worker beside all services on {machine['name']}, {machine['cores']} cores; load average before "
            f"{run['load_before']:.2f}. A job of {run['prompts']} prompts of batch work; the second one beside "
            f"interactive requests at {run['share']:.0%} of the exact capacity.",
            "",
            "| job | drawn | said, s | it took, s | off by |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            "At 0 % nothing of it was drawn yet: what is said then is of its class. A dash: nothing was drawn lately.",
            "",
        ]
    )


@click.command()
@click.option("--prompts", default=120, show_default=True, help="Of each job.")
@click.option("--share", default=0.3, show_default=True, help="Arrivals as a share of the exact capacity.")
@click.option("--simulated", is_flag=True, help="Of ends drawn at random, in a second or two.")
@click.option("--write", is_flag=True, help="Write docs/results/eta.json and .md; simulated: eta-simulated.")
def main(prompts: int, share: float, simulated: bool, write: bool) -> None:
    """Say how far off the ETA of jobs is."""
    if simulated:
        eta_simulated.report(write)
        return
    family = load_family("embedded")
    run = run_of("bench.eta", family=family.id, share=share, prompts=prompts)
    known = read_prompts(ROOT / "profiles" / family.id / "quality.csv")
    with own_home("eta") as home, own_argus(home) as client, Progress(console=Console(stderr=True)) as bar:
        per_minute = share * 60 / worker_seconds(one_at_a_time(client, known, bar))
        parts = {"alone": watched(client, known, prompts)}
        parts["beside others"] = beside_arrivals(client, known, prompts, per_minute, bar)
    found = {"run": run, "hardware": hardware(), "parts": parts}
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))


if __name__ == "__main__":
    main()
