"""`python -m bench.scheduler [--part …]`: run parts, keep their figures, write the page."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from bench.live.machine import commit
from bench.scheduler.merging import merged, missing
from bench.scheduler.page import KEPT, PAGE, PARTS, page, read_kept
from bench.scheduler.setup import IMAGES, Setup
from core.devices import processor
from core.settings import ROOT

VERSIONS = ("numpy", "scipy")


@click.command()
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), help="Only these. Default: all.")
@click.option(
    "--shared", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of profiles and traces."
)
@click.option("--seed", default=1, show_default=True, help="Of the parts that run once.")
@click.option(
    "--seeds", default=20, show_default=True, type=click.IntRange(1), help="Seeds of the parts that have intervals."
)
@click.option(
    "--jobs", default=len(os.sched_getaffinity(0)), show_default="cores", type=click.IntRange(1),
    help="Processes that run over seeds.",
)  # fmt: skip
@click.option(
    "--records", type=click.Path(file_okay=False, path_type=Path), help="Recorded live runs. [docs/results/live-runs]"
)
@click.option("--add", is_flag=True, help="Run those of the seeds only that no figures are kept of, and keep both.")
def main(
    parts: tuple[str, ...], shared: Path | None, seed: int, seeds: int, jobs: int, records: Path | None, add: bool
) -> None:
    """Run the scheduler's benchmark and write docs/results/scheduler.md."""
    folder = shared or Path(os.environ.get("ARGUS_SHARED", ROOT.parent / "shared"))
    setup = Setup(folder, seed, tuple(range(1, seeds + 1)), jobs=jobs, records=records or Setup.records)
    machine = f"{processor()}, {', '.join(f'{name} {version(name)}' for name in VERSIONS)}"
    about = {
        **{"capacity": setup.capacity, "slo_s": setup.slo_s, "prompts": setup.prompts, "seed": seed},
        "machine": machine,
    }
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in parts or PARTS:
        before = read_kept().get(name, {}) if add else {}
        left = missing(setup.seeds, before)
        if not left:
            click.echo(f"{name}: all of these seeds are kept")
            continue
        started = time.perf_counter()
        found = PARTS[name].run(replace(setup, seeds=left))
        kept = _with(name, found, len(left) < seeds) | {"about": about}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(kept), encoding="utf-8")
        click.echo(f"{name}: {time.perf_counter() - started:.0f} s")
        click.echo(PARTS[name].show(kept[name]))


def _with(name: str, found: Any, added: bool) -> dict[str, Any]:
    """What is kept, and what was found of a part: instead of what was kept of it, or `added` to that."""
    kept = read_kept()  # again: parts may run side by side
    commits = [commit()]
    if added:
        found = merged(kept[name], found)
        commits = list(dict.fromkeys([*kept["commits"][name].split(", "), *commits]))
    days = {**kept.get("days", {}), name: f"{datetime.now(UTC):%Y-%m-%d}"}
    return {**kept, "days": days, "commits": {**kept.get("commits", {}), name: ", ".join(commits)}, name: found}


if __name__ == "__main__":
    main()
