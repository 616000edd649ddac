"""`argus simulate`: policies over a trace on a virtual clock; nothing needs to run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from cli.terminal import show_table, write_json
from core.errors import BadInput, BadProfile
from core.profiles import Profile, QualityTable, read_profile, read_quality
from scheduler.policies import NAMES
from traces.reader import read_trace

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
OUT = click.Path(dir_okay=False, writable=True, path_type=Path)
SLO_FACTOR = 3.0
TICK_S, LONG_S = 10.0, 6 * 3600.0


@click.command()
@click.option(
    "--trace", type=FILE, required=True, help="Arrivals, CSV (start_s,requests | start_s,requests_per_s | arrival_s)."
)
@click.option(
    "--profile", "profiles", type=FILE, required=True, multiple=True, help="Profile JSON; once a device type."
)
@click.option(
    "--quality", type=FILE, help="True relative quality by prompt and level, CSV. Without: spread around the means."
)
@click.option("--predicted", type=FILE, help="A predictor's answers for the same prompts, CSV.")
@click.option(
    "--noise",
    type=click.FloatRange(0),
    default=0.3,
    show_default=True,
    help="Error of predictions (log loss) where none are given.",
)
@click.option("--policy", default="argus", show_default=True, help=f"`all`, or some of: {', '.join(NAMES)}.")
@click.option("--workers", default="8", show_default=True, help="Workers: a number, or by device type (a100=4,l4=8).")
@click.option("--scale-to", type=float, help="Stretch what is run so that its busiest minute has so many requests.")
@click.option("--start", default=0.0, show_default=True, help="Second of the trace to begin at.")
@click.option("--duration", type=float, help="Seconds of the trace to run.")
@click.option("--slo", type=float, help=f"Latency target in seconds. Default: {SLO_FACTOR:g} × latency of exact.")
@click.option("--tick", type=float, help="Seconds between plans. Default: 10, and 30 for runs of more than 6 hours.")
@click.option("--batch-share", type=click.FloatRange(0, 1), default=0.0, help="Share of requests in the batch class.")
@click.option("--seed", default=0, show_default=True)
@click.option("--json", "out", type=OUT, help="Also write the figures as JSON (DESIGN.md, Contracts).")
@click.option("--plot", type=OUT, help="PNG of the run. Default: beside the JSON, else simulate.png.")
def simulate(
    trace: Path,
    profiles: Sequence[Path],
    quality: Path | None,
    predicted: Path | None,
    noise: float,
    policy: str,
    workers: str,
    scale_to: float | None,
    start: float,
    duration: float | None,
    slo: float | None,
    tick: float | None,
    batch_share: float,
    seed: int,
    out: Path | None,
    plot: Path | None,
) -> None:
    """Run policies over a trace on a virtual clock, with the live planner and router. All figures are simulated."""
    from scheduler.simulate import SimConfig, Workload, synthetic_quality, workload
    from scheduler.simulate import simulate as run
    from scheduler.simulate.report import as_json, rows
    from scheduler.simulate.report import plot as draw

    known = {p.device: p for p in map(read_profile, profiles)}
    first = next(iter(known.values()))
    names = _policies(policy)
    arrivals = read_trace(trace).window(start, duration)
    if scale_to is not None:
        arrivals = arrivals.scaled_to(scale_to)
    levels = tuple(dict.fromkeys(level for p in known.values() for level in p.ids))
    table = _quality(quality, levels) if quality else synthetic_quality(first, seed)
    answers = read_quality(predicted) if predicted else None
    work: Workload = workload(arrivals, table, levels, seed, noise, answers, batch_share)
    target = slo if slo is not None else SLO_FACTOR * first.reference.latency_s
    pace = tick if tick is not None else (TICK_S if arrivals.duration_s <= LONG_S else 3 * TICK_S)
    reports = []
    for name in names:
        config = SimConfig(name, known, _workers(workers, known), target, tick_s=pace)
        reports.append(run(config, work))
        click.echo(f"{name}: simulated in {reports[-1].seconds:.1f} s of CPU", err=True)
    about = {"trace": arrivals.name, "slo_s": target, "seed": seed, "workers": _workers(workers, known), "tick_s": pace}
    if out:
        write_json(out, as_json(reports, about))
    draw(
        reports,
        plot or (out.with_suffix(".png") if out else Path("simulate.png")),
        f"{arrivals.name}, SLO {target:g} s",
    )
    show_table(f"Simulated: {arrivals.name}, SLO {target:g} s, seed {seed}", *rows(reports))


def _policies(text: str) -> list[str]:
    names = list(NAMES) if text == "all" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in NAMES:
            raise BadInput(f"unknown policy {name!r}; there are all, {', '.join(NAMES)}", field="policy")
    return names


def _workers(text: str, profiles: dict[str, Profile]) -> dict[str, int]:
    """`8` is eight of the first profile's device type; `a100=4,l4=8` names types."""
    found = dict.fromkeys(profiles, 0)
    for part in text.split(","):
        device, _, count = part.rpartition("=")
        device = device.strip() or next(iter(profiles))
        if device not in profiles:
            raise BadInput(
                f"workers of {device!r}, but no profile of it; there are {', '.join(profiles)}", field="workers"
            )
        if not count.strip().isdigit():
            raise BadInput(f"{part!r} is not a number of workers", field="workers")
        found[device] += int(count)
    if not sum(found.values()):
        raise BadInput("there are no workers; give at least one", field="workers")
    return {device: n for device, n in found.items() if n}


def _quality(path: Path, levels: tuple[str, ...]) -> QualityTable:
    table = read_quality(path)
    missing = [level for level in levels if level not in table.levels]
    if missing:
        has = ", ".join(table.levels)
        raise BadProfile(f"{path}: no column for level {missing[0]!r} of the profile; it has {has}", field=missing[0])
    return table.select(levels)
