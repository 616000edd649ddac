"""Gangs in the simulator: what idle GPUs of a host make of latency, by a **modelled** profile of modes.

    python -m bench.gangs_simulated [--seeds 5] [--write]

Eight H200 of one host serve Flux or SDXL at 1024 pixels, at `exact` alone, as `argus` does. Arrivals have the shape of
Twitter's hour: the quarter of an hour around its burst, and the calm before. Every load is run with and without gangs,
under the same seeds: what `auto` makes of it, by the rule that live workers ask, and for SDXL requests that name
DistriFusion. What a step takes with several ranks is modelled (`bench.parallel_speed`), everything else of the profile
was measured on one GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.gangs_simulated_page import page
from bench.own import keep, run_of
from bench.parallel_speed import DEVICE, modes_file
from bench.scheduler.setup import BURST
from core.parallel_profiles import ModeProfile, read_parallel
from core.profiles import Profile, read_profile
from core.settings import ROOT
from scheduler.planning.gangs import MOST_WAIT
from scheduler.simulate import GangSetting, Report, SimConfig, Workload, simulate
from traces.reader import Trace, read_trace
from workers.measure.speed_up import NVLINK, PCIE, Link

KEPT, PAGE = ROOT / "docs/results/gangs-simulated.json", ROOT / "docs/results/gangs-simulated.md"
TRACE = "traces/twitter-burst-hour.csv"
WORKERS, SLO_FACTOR = 8, 3.0
SHAPES = {"calm": (0.0, 900.0), "burst": BURST}  # second of Twitter's hour, seconds
LOADS = {"calm": (0.1, 0.2, 0.4, 0.9), "burst": (0.95,)}  # of the capacity, in the busiest minute
STEPS = {"random-flux": 28, "random-sdxl": 50}  # as families/flux.toml and sdxl.toml have them
FIGURES = ("latency_p50_s", "latency_p95_s", "goodput_per_minute", "violation_rate")


@dataclass(frozen=True)
class Case:
    """What is compared with no gangs."""

    family: str
    link: Link
    asked: str = "auto"
    meet_s: float | None = None  # None: as in the profile of modes
    most_wait: float = MOST_WAIT

    def modes(self) -> tuple[ModeProfile, ...]:
        """The modelled modes; where meeting takes something else, with that."""
        found = read_parallel(modes_file(self.family, self.link)).modes
        more_s = 0.0 if self.meet_s is None else self.meet_s - min(mode.meet_s for mode in found if mode.ranks > 1)
        return tuple(mode.model_copy(update={"meet_s": mode.meet_s + more_s}) for mode in found)


CASES = (
    Case("random-flux", NVLINK),
    Case("random-flux", NVLINK, meet_s=0.1),
    Case("random-flux", NVLINK, most_wait=1.0),
    Case("random-flux", PCIE),
    Case("random-sdxl", NVLINK),
    Case("random-sdxl", NVLINK, meet_s=0.1),
    Case("random-sdxl", NVLINK, "distrifusion"),
    Case("random-sdxl", NVLINK, "distrifusion", meet_s=0.1),
)


def profile_of(family: str) -> Profile:
    """What was measured of `exact`, with the steps of the real family."""
    found = read_profile(ROOT / f"profiles/{family}/{DEVICE}.json")
    level = found.level("exact")
    more = STEPS[family] - (level.steps or 0)
    full = level.batch[-1].step_s / level.batch[-1].size
    latency_s = level.latency_s + more * level.batch[0].step_s
    carries = 60 / (60 / level.requests_per_minute + more * full)
    longer = {"steps": STEPS[family], "latency_s": latency_s, "requests_per_minute": carries}
    return found.model_copy(update={"levels": (level.model_copy(update=longer),)})


def workload_of(trace: Trace, seed: int) -> Workload:
    """Arrivals of a trace, one prompt; every image is as good as `exact`."""
    times, one = trace.arrivals(seed), np.ones((1, 1))
    n = len(times)
    return Workload(times, np.zeros(n, int), one, one, ("p",), np.zeros(n), np.zeros(n, bool), trace.duration_s)


def simulated(family: str, trace: Trace, seed: int, case: Case | None = None) -> Report:
    """A run of a family; with a case its workers draw together."""
    profile = profile_of(family)
    setting = GangSetting({DEVICE: case.modes()}, case.asked, WORKERS, case.most_wait) if case else None
    slo_s = SLO_FACTOR * profile.reference.latency_s
    config = SimConfig("argus", {DEVICE: profile}, {DEVICE: WORKERS}, slo_s, gangs=setting)
    return simulate(config, workload_of(trace, seed))


def trace_of(shared: Path, family: str, shape: str, load: float) -> Trace:
    """The shape at a load."""
    capacity = WORKERS * profile_of(family).reference.requests_per_minute
    return read_trace(shared / TRACE).window(*SHAPES[shape]).scaled_to(load * capacity)


def figures_of(reports: Sequence[Report]) -> dict[str, list[float]]:
    """What is compared, by seed."""
    return {key: [report.figures[key] for report in reports] for key in ("requests", *FIGURES)}


def compared(shared: Path, family: str, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """Every load of a family, by case, with and without gangs."""
    cases = [case for case in CASES if case.family == family]
    found: list[dict[str, Any]] = [{**about(case), "loads": []} for case in cases]
    for shape, load in ((shape, load) for shape, loads in LOADS.items() for load in loads):
        trace = trace_of(shared, family, shape, load)
        alone = figures_of([simulated(family, trace, seed) for seed in seeds])
        for case, told in zip(cases, found, strict=True):
            together = [simulated(family, trace, seed, case) for seed in seeds]
            figures = {"alone": alone, "together": figures_of(together), "gangs": [one.gangs for one in together]}
            told["loads"].append({"shape": shape, "load": load, **figures})
        click.echo(f"{family}, {shape}, {load:.0%}", err=True)
    return found


def about(case: Case) -> dict[str, Any]:
    """What a case is."""
    meet_s = min(mode.meet_s for mode in case.modes() if mode.ranks > 1)
    alone_s = profile_of(case.family).reference.latency_s
    asked = {"asked": case.asked, "meet_s": meet_s, "most_wait": case.most_wait}
    return {"family": case.family, "link": case.link.name, **asked, "alone_s": alone_s}


@click.command()
@click.option("--shared", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of traces.")
@click.option("--seeds", default=5, type=click.IntRange(1), show_default=True)
@click.option("--write", is_flag=True, help="Write docs/results/gangs-simulated.json and .md.")
def main(shared: Path | None, seeds: int, write: bool) -> None:
    """Say what gangs make of latency and goodput, simulated."""
    run = run_of("bench.gangs_simulated", seeds=seeds, workers=WORKERS, slo_factor=SLO_FACTOR)
    folder, several = shared or ROOT.parent / "shared", range(1, seeds + 1)
    families = dict.fromkeys(case.family for case in CASES)
    with ProcessPoolExecutor(len(families)) as processes:
        found_of = processes.map(partial(compared, folder, seeds=several), families)
        cases = [case for found in found_of for case in found]
    found = {"run": run, "simulated": True, "cases": cases}
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))


if __name__ == "__main__":
    main()
