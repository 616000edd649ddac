"""Does any process of Argus grow? Memory and open handles of each, sampled under steady load.

    python -m bench.soak [--minutes 60] [--warm-up 15] [--share 0.5] [--write]

One worker with its defaults beside all services, Poisson arrivals of different prompts at a share of the capacity at
the exact level. Before it, what fills up to a bound is filled, as that is no leak: twice as many prompts are read as
the text encoder remembers, and each level that a plan may choose draws a full batch.
Memory is the resident set (RSS) of a process; of PostgreSQL, which is a process a connection over one shared buffer, it
is what its processes have for themselves (USS). Growth compares medians: of the last fifth of the samples after the
warm-up, over the first fifth; and of the last third alone, where what only fills up to a bound has filled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
import psutil
from rich.console import Console
from rich.progress import Progress

from bench.light_load import at_rate, figures, one_at_a_time, worker_seconds
from bench.live.instance import children
from bench.live.machine import hardware
from bench.own import keep, own_argus, own_home, run_of
from core.client import ArgusClient
from core.families import Family, load_family
from core.settings import ROOT
from traces.replay.plan import read_prompts

KEPT, PAGE = ROOT / "docs/results/soak.json", ROOT / "docs/results/soak.md"
PLOT = ROOT / "docs/results/img/soak.png"
EVERY_S = 5.0
GROWTH = 0.02  # the goal, of memory; of handles too, or HANDLES
HANDLES = 3
READ, AT_ONCE, FILL_S = 1040, 260, 600.0  # prompts read before the run, those of one job, how long a job may take
BATCH = 8  # images drawn at each level before the run
PART = 5  # a fifth of the samples at either end
MB = 1024 * 1024
FOUND = """## What grew, and why

Found on 2026-11-26 by running the parts alone; the numbers are resident megabytes.

- **Scheduler, threads.** Each of its eight threads that learned for the first time kept 13 MB in an arena of its own:
  560, 574, 587 … 655, then flat, within twenty turns. With two arenas and large blocks given back (`core/memory.py`):
  543 and flat.
- **Scheduler, prompts.** It remembered the features of 20,000 prompts, 9 kB each: 539 after 1,024 different prompts,
  590 after 6,000. Then 5,000 of half the size, which still filled during the run, a megabyte in 60 prompts with what
  they left in between; now 512, and the predictions of 5,000, a hundred bytes each.
- **Scheduler, worker, scorer.** The text encoder remembers 512 prompts, 37 kB each: 19 MB, and its heap is level
  after twice as many. No leak; the run fills it first. So are models of levels that a plan chooses for the first time.
- **Flower** kept 100,000 tasks, 6 kB each. Now 1,000 (`FLOWER_MAX_TASKS`), and workers that left for an hour.
- **PostgreSQL** has a process for each connection of the pools, which open as they are needed. One of them is flat:
  22.0 to 22.1 over 120 ticks.
"""


@dataclass(frozen=True)
class Sample:
    """Memory in bytes and open handles of a process at a time in seconds after the start."""

    at: float
    process: str
    memory: int
    handles: int


class Sampler(threading.Thread):
    """Looks at every child of the Argus of a home folder until told to stop."""

    def __init__(self, home: Path) -> None:
        super().__init__(name="sampler", daemon=True)
        self.home, self.begun, self.samples = home, time.monotonic(), list[Sample]()
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(EVERY_S):
            at = time.monotonic() - self.begun
            for name, pid in children(self.home).items():
                self.samples += look(at, name, pid)

    def stop(self) -> None:
        self._done.set()
        self.join()


def look(at: float, name: str, pid: int) -> list[Sample]:
    """A process as it is now; nothing where it has just ended."""
    try:
        first = psutil.Process(pid)
        all_of_it = [first, *first.children(recursive=True)]
        if name == "postgres":
            memory = sum(process.memory_full_info().uss for process in all_of_it)
        else:
            memory = sum(process.memory_info().rss for process in all_of_it)
        return [Sample(at, name, memory, sum(process.num_fds() for process in all_of_it))]
    except psutil.Error:
        return []


def verdict(samples: Sequence[Sample], warm_up_s: float) -> dict[str, dict[str, Any]]:
    """By process: memory (MB) and handles at either end after the warm-up, growth as a share of 1 (of the last third
    too), and whether both are flat."""
    found = {}
    for name in dict.fromkeys(sample.process for sample in samples):
        mine = [sample for sample in samples if sample.process == name and sample.at >= warm_up_s]
        if not mine:
            continue
        first, last, opened, open_now = _ends(mine)
        third, end, *_ = _ends(mine[-max(1, len(mine) // 3) :])
        growth = last / first - 1
        flat = growth < GROWTH and open_now - opened <= max(HANDLES, GROWTH * opened)
        found[name] = {
            "first_mb": first,
            "last_mb": last,
            "growth": growth,
            "growth_at_end": end / third - 1,
            "handles_first": opened,
            "handles_last": open_now,
            "flat": flat,
        }
    return found


def _ends(samples: Sequence[Sample]) -> tuple[float, float, float, float]:
    """Memory (MB) in the first and the last fifth, and handles."""
    part = max(1, len(samples) // PART)
    ends = (samples[:part], samples[-part:])
    first, last = (median(sample.memory for sample in some) / MB for some in ends)
    opened, open_now = (median(sample.handles for sample in some) for some in ends)
    return first, last, opened, open_now


def plot(samples: Sequence[Sample], warm_up_s: float, path: Path) -> None:
    """Memory of each process over time, relative to what it was when the warm-up ended."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4.5))
    for name in dict.fromkeys(sample.process for sample in samples):
        mine = [sample for sample in samples if sample.process == name]
        warm = next((sample.memory for sample in mine if sample.at >= warm_up_s), mine[-1].memory)
        label = f"{name}, {warm / MB:.0f} MB"
        axes.plot([s.at / 60 for s in mine], [100 * (s.memory / warm - 1) for s in mine], label=label, linewidth=1)
    axes.axvline(warm_up_s / 60, color="grey", linestyle=":", linewidth=1)
    axes.axhline(100 * GROWTH, color="grey", linestyle="--", linewidth=1)
    axes.set(xlabel="minutes of steady load", ylabel="memory since the warm-up, %", ylim=(-15, 10))
    axes.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def page(found: dict[str, Any]) -> str:
    """The page of the results."""
    run, machine, served = found["run"], found["hardware"], found["load"]
    rows = [
        f"| {name} | {one['first_mb']:.0f} | {one['last_mb']:.0f} | {one['growth']:+.1%} | {one['growth_at_end']:+.1%} "
        f"| {one['handles_first']:.0f} → {one['handles_last']:.0f} | {'flat' if one['flat'] else 'grows'} |"
        for name, one in found["processes"].items()
    ]
    return "\n".join(
        [
            "# Soak: does any process grow?",
            "",
            f"`{run['command']}`, {run['measured']}, family {run['family']} {run['family_version']}: "
            f"{run['minutes']:g} minutes at {run['share']:.0%} of the capacity at the exact level, "
            f"{served['requests']} requests, {served['late']:.1%} late, on {machine['name']}, {machine['cores']} "
            f"cores. Ends are medians of a fifth of the samples after {run['warm_up']:g} minutes of warm-up; the goal "
            f"is a growth under {GROWTH:.0%}. {run.get('note', '')}".strip(),
            "",
            "| process | first, MB | last, MB | growth | in the last third | handles | verdict |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            "![Memory of each process](img/soak.png)",
            "",
            FOUND,
        ]
    )


def fill_caches(client: ArgusClient, family: Family, prompts: Sequence[str]) -> None:
    """Have prompts read and drawn, cheaply, then some drawn at each level; returns when all are done.

    Interactive, with a deadline that all reach: batch work is neither read by the scheduler nor seen by Flower.
    """
    for start in range(0, READ, AT_ONCE):
        _draw(client, {"prompts": list(prompts[start : start + AT_ONCE]), "steps": 2})
    for level in family.levels.values():
        if not level.by_name:
            _draw(client, {"prompts": list(prompts[:BATCH]), "level": level.id})


def _draw(client: ArgusClient, body: dict[str, Any]) -> None:
    job = client.submit({**body, "deadline_s": FILL_S, "title": "warm-up"})
    end = time.monotonic() + FILL_S
    while client.job(job["id"])["counts"].get("done", 0) < len(body["prompts"]) and time.monotonic() < end:
        time.sleep(1.0)


def soak(minutes: float, share: float, console: Console) -> tuple[list[Sample], dict[str, Any]]:
    """Samples of a run of its own, and what became of its load."""
    family = load_family("embedded")
    prompts = read_prompts(ROOT / "profiles" / family.id / "quality-train.csv")
    with own_home("soak") as home, own_argus(home) as client, Progress(console=console) as bar:
        exact_s = worker_seconds(one_at_a_time(client, prompts, bar))
        fill_caches(client, family, prompts[-READ:])
        sampler = Sampler(home)
        sampler.start()
        sent = at_rate(client, share * 60 / exact_s, minutes, prompts, bar)
        sampler.stop()
    return sampler.samples, figures(sent, family)


@click.command()
@click.option("--minutes", default=60.0, show_default=True, help="Length of the load.")
@click.option("--warm-up", default=15.0, show_default=True, help="Minutes after which growth counts.")
@click.option("--share", default=0.5, show_default=True, help="Arrivals as a share of exact capacity.")
@click.option("--note", default="", help="A sentence about the run, for the page.")
@click.option("--write", is_flag=True, help="Write docs/results/soak.json, .md and the plot.")
def main(minutes: float, warm_up: float, share: float, note: str, write: bool) -> None:
    """Say whether the memory and handles of any process grow under steady load; status 1 when one does."""
    family, warm_up_s = load_family("embedded"), 60 * warm_up
    about = {"family": family.id, "family_version": family.version, "minutes": minutes, "warm_up": warm_up}
    run = run_of("bench.soak", **about, share=share, note=note)
    samples, load = soak(minutes, share, Console(stderr=True))
    found = {"run": run, "hardware": hardware(), "load": load, "processes": verdict(samples, warm_up_s)}
    if write:
        a_minute = [asdict(sample) for sample in samples if sample.at % 60 < EVERY_S]
        keep({**found, "samples": a_minute}, KEPT, PAGE, page(found))
        plot(samples, warm_up_s, PLOT)
    click.echo(page(found))
    raise SystemExit(0 if all(one["flat"] for one in found["processes"].values()) else 1)


if __name__ == "__main__":
    main()
