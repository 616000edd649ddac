"""`argus simulate`: policies over a trace on a virtual clock; nothing needs to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from cli.numbers import Number, Whole
from cli.terminal import IN_FILE, JSON_OUT, OUT_FILE, show_table, shows_table, write_json
from core.errors import BadInput, BadProfile
from core.parallel import Parallel

if TYPE_CHECKING:
    from core.profiles import Profile, QualityTable
    from scheduler.simulate import GangSetting, Workload
    from traces.reader import Trace

SLO_FACTOR = 3.0
TICK_S, LONG_S = 10.0, 6 * 3600.0


@dataclass(frozen=True)
class Options:
    """The command's options, as click gives them."""

    trace: Path
    profiles: Sequence[Path]
    quality: Path | None
    predicted: Path | None
    noise: float
    policy: str
    workers: str
    scale_to: float | None
    start: float
    duration: float | None
    slo: float | None
    tick: float | None
    batch_share: float
    any_hit: bool
    modes: Sequence[Path]
    parallel: str
    host: int
    seed: int
    out: Path | None
    plot: Path | None
    trace_json: Path | None


@click.command()
@click.option(
    "--trace", type=IN_FILE, required=True,
    help="Arrivals, CSV (start_s,requests | start_s,requests_per_s | arrival_s).",
)  # fmt: skip
@click.option(
    "--profile", "profiles", type=IN_FILE, required=True, multiple=True, help="Profile JSON; once a device type."
)
@click.option(
    "--quality", type=IN_FILE, help="True relative quality by prompt and level, CSV. Without: spread around the means."
)
@click.option("--predicted", type=IN_FILE, help="A predictor's answers for the same prompts, CSV.")
@click.option(
    "--noise", type=Number(0), default=0.3, show_default=True,
    help="Error of predictions (log loss) where none are given.",
)  # fmt: skip
@click.option(
    "--policy", default="argus", show_default=True,
    help="`all`, or some of: clipper-ha, clipper-ht, nirvana, sommelier, proteus, pac, diffserve, hadis, modm, "
    "clockwork, tetriserve, genserve, argus-paper, argus, oracle.",
)  # fmt: skip
@click.option("--workers", default="8", show_default=True, help="Workers: a number, or by device type (a100=4,l4=8).")
@click.option("--scale-to", type=Number(), help="Stretch what is run so that its busiest minute has so many requests.")
@click.option("--start", type=Number(0), default=0.0, show_default=True, help="Second of the trace to begin at.")
@click.option("--duration", type=Number(), help="Seconds of the trace to run.")
@click.option("--slo", type=Number(), help=f"Latency target in seconds. Default: {SLO_FACTOR:g} × latency of exact.")
@click.option("--tick", type=Number(), help="Seconds between plans. Default: 10, and 30 for runs of more than 6 hours.")
@click.option("--batch-share", type=Number(0, 1), default=0.0, help="Share of requests in the batch class.")
@click.option(
    "--any-hit", is_flag=True,
    help="Caching levels start from the nearest cached prompt however far it is. Without: as far as similarity allows.",
)  # fmt: skip
@click.option(
    "--modes", type=IN_FILE, multiple=True,
    help="Modes of several devices, JSON as of `argus profile --parallel`; once a device type. Idle workers of a host "
    "then draw together by the rule of live workers.",
)  # fmt: skip
@click.option(
    "--parallel", type=click.Choice(get_args(Parallel)), default="auto", show_default=True,
    help="What requests say of that.",
)  # fmt: skip
@click.option("--host", type=Whole(1, 1024), default=8, show_default=True, help="Workers of one host.")
@click.option("--seed", type=Whole(0), default=0, show_default=True, help="Of arrivals, prompts and predictions.")
@click.option("--json", "out", type=JSON_OUT, help="Also write the figures as JSON (- is stdout).")
@click.option("--plot", type=OUT_FILE, help="PNG of the run. Default: beside the JSON, else simulate.png.")
@click.option(
    "--trace-json", type=OUT_FILE,
    help="The schedule as a Chrome trace, for ui.perfetto.dev; of several policies, one file each (run-argus.json).",
)  # fmt: skip
def simulate(**given: Any) -> None:
    """Run policies over a trace on a virtual clock, with the live planner and router. All figures are simulated."""
    from core.chrome_trace import write
    from core.profiles import read_profile
    from scheduler.simulate import Recorder, SimConfig
    from scheduler.simulate import simulate as run
    from scheduler.simulate.report import as_json, plot, rows

    options = Options(**given)
    names = _policies(options.policy)
    profiles = {profile.device: profile for profile in map(read_profile, options.profiles)}
    workers = _workers(options.workers, list(profiles))
    arrivals = _arrivals(options)
    work = _workload(options, profiles, arrivals)
    slo_s = options.slo if options.slo is not None else _default_slo_s(profiles)
    tick_s = options.tick if options.tick is not None else _default_tick_s(arrivals)
    reports = []
    for name in names:
        config = SimConfig(
            name, profiles, workers, slo_s, tick_s=tick_s, any_hit=options.any_hit, gangs=_gangs(options, workers)
        )
        recorder = Recorder() if options.trace_json else None
        reports.append(run(config, work, recorder=recorder))
        if options.trace_json and recorder:
            write(recorder.schedule(), _of_policy(options.trace_json, name if len(names) > 1 else ""))
        click.echo(f"{name}: simulated in {reports[-1].seconds:.1f} s of CPU", err=True)
    if options.out:
        about = {"slo_s": slo_s, "seed": options.seed, "workers": workers, "tick_s": tick_s}
        write_json(options.out, as_json(reports, {"trace": arrivals.name, **about}))
    title = f"{arrivals.name}, SLO {slo_s:.3g} s"
    beside = options.out.with_suffix(".png") if options.out and shows_table(options.out) else Path("simulate.png")
    plot(reports, options.plot or beside, title)
    if shows_table(options.out):
        show_table(f"Simulated: {title}, seed {options.seed}", *rows(reports))


def _of_policy(path: Path, policy: str) -> Path:
    return path.with_stem(f"{path.stem}-{policy}") if policy else path


def _policies(text: str) -> list[str]:
    """The policies asked for, in order; raises `BadInput` naming those there are."""
    from scheduler.policies import NAMES

    names = list(NAMES) if text == "all" else [name.strip() for name in text.split(",")]
    for name in names:
        if name not in NAMES:
            raise BadInput(f"There is no policy {name!r}. Use all, or some of: {', '.join(NAMES)}.", field="policy")
    return names


def _workers(text: str, devices: Sequence[str]) -> dict[str, int]:
    """Workers by device type: `8` is eight of the first profile's type, `a100=4,l4=8` names types."""
    found = dict.fromkeys(devices, 0)
    for part in text.split(","):
        device, _, count = part.rpartition("=")
        device = device.strip() or devices[0]
        if device not in found:
            known = ", ".join(devices)
            raise BadInput(
                f"There is no profile of {device!r} to take workers of; given are: {known}.", field="workers"
            )
        if not count.strip().isdigit():
            raise BadInput(f"{part!r} is not a number of workers.", field="workers")
        found[device] += int(count)
    if not sum(found.values()):
        raise BadInput("There are no workers: give at least one.", field="workers")
    return {device: count for device, count in found.items() if count}


def _gangs(options: Options, workers: Mapping[str, int]) -> GangSetting | None:
    """How workers draw together; None without a profile of modes."""
    from core.parallel_profiles import read_parallel
    from scheduler.simulate import GangSetting

    if not options.modes:
        return None
    found = {profile.device: profile.modes for profile in map(read_parallel, options.modes)}
    for device in found:
        if device not in workers:
            known = ", ".join(workers)
            raise BadInput(f"There are modes of {device!r}, and workers of: {known}.", field="modes")
    return GangSetting(found, options.parallel, options.host)


def _arrivals(options: Options) -> Trace:
    """The part of the trace that is run, scaled."""
    from traces.reader import read_trace

    part = read_trace(options.trace).window(options.start, options.duration)
    return part.scaled_to(options.scale_to) if options.scale_to is not None else part


def _workload(options: Options, profiles: Mapping[str, Profile], arrivals: Trace) -> Workload:
    """Requests with their true and predicted qualities."""
    from core.profiles import read_quality
    from scheduler.simulate import synthetic_quality, workload

    levels = tuple(dict.fromkeys(level for profile in profiles.values() for level in profile.ids))
    first = next(iter(profiles.values()))
    true = _true_quality(options.quality, levels) if options.quality else synthetic_quality(first, options.seed)
    predicted = read_quality(options.predicted) if options.predicted else None
    return workload(arrivals, true, levels, options.seed, options.noise, predicted, options.batch_share)


def _true_quality(path: Path, levels: tuple[str, ...]) -> QualityTable:
    from core.profiles import read_quality

    table = read_quality(path)
    missing = [level for level in levels if level not in table.levels]
    if missing:
        has = ", ".join(table.levels)
        raise BadProfile(f"{path}: no column for level {missing[0]!r} of the profile; it has {has}", field=missing[0])
    return table.select(levels)


def _default_slo_s(profiles: Mapping[str, Profile]) -> float:
    return SLO_FACTOR * next(iter(profiles.values())).reference.latency_s


def _default_tick_s(arrivals: Trace) -> float:
    return TICK_S if arrivals.duration_s <= LONG_S else 3 * TICK_S
