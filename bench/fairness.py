"""What one tenant's flood does to another: `python -m bench.fairness [--write]`, simulated from a measured profile.

Two tenants of equal weight. The quiet one sends interactive requests at a steady rate; the other sends 10,000, at once
or within a minute. Printed is the quiet one's p95 without the other, with it, and with it where all stand in one line.
The small live check is `bench.fairness_live`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from core.profiles import Profile, read_profile
from core.settings import ROOT
from scheduler.simulate import SimConfig, Workload, simulate_outcomes, synthetic_quality, workload
from traces.reader import Trace

QUIET, LOUD = "quiet", "loud"
FLOOD, AT_S, DURATION_S = 10_000, 60.0, 300.0
WITHIN_S = {"at once": 0.0, "within a minute": 60.0}
SLO_FACTOR, NOISE = 3.0, 0.2
PROFILE = ROOT / "profiles" / "embedded" / "cpu.json"
PAGE = ROOT / "docs" / "results" / "fairness.md"


@dataclass(frozen=True)
class Case:
    """The quiet tenant's load, as a share of what the workers carry at exact, and how the flood comes."""

    workers: int
    load: float
    flood: str


@dataclass(frozen=True)
class Seen:
    """Of the quiet tenant: p95 in seconds, share late, mean relative quality; and how many of the flood were drawn."""

    p95_s: float
    late: float
    quality: float
    flood_drawn: int


CASES = [Case(workers, load, flood) for workers in (2,) for load in (0.3, 0.5) for flood in WITHIN_S]


def run(profile: Profile, case: Case, seed: int, flood: int = FLOOD, fair: bool = True) -> Seen:
    """One simulated run; without the flood where it is 0."""
    exact = profile.levels[0]
    work = _work(profile, case, exact.requests_per_minute / 60 * case.workers, seed, flood)
    slo_s = SLO_FACTOR * exact.latency_s
    config = SimConfig("argus", {"d": profile}, {"d": case.workers}, slo_s, fair=fair, seed=seed)
    outcomes = simulate_outcomes(config, work)
    mine = [one for one, tenant in zip(outcomes, work.tenants, strict=True) if tenant == QUIET]
    drawn = sum(one.served for one, tenant in zip(outcomes, work.tenants, strict=True) if tenant == LOUD)
    waits = np.array([one.finished - one.arrived for one in mine])
    late, quality = np.mean([one.late for one in mine]), np.mean([one.quality for one in mine])
    return Seen(float(np.percentile(waits, 95)), float(late), float(quality), drawn)


def _work(profile: Profile, case: Case, per_s: float, seed: int, flood: int) -> Workload:
    rng = np.random.default_rng(seed)
    quiet = rng.uniform(0, DURATION_S, rng.poisson(case.load * per_s * DURATION_S))
    loud = AT_S + rng.uniform(0, 1, flood) * WITHIN_S[case.flood]
    return _as_workload(profile, {QUIET: quiet, LOUD: loud}, seed, rng)


def requests_of(profile: Profile, loads: Mapping[str, float], workers: int, seed: int) -> Workload:
    """Requests of tenants that come evenly, as shares of what the workers carry at exact."""
    rng = np.random.default_rng(seed)
    most = profile.levels[0].requests_per_minute / 60 * workers * DURATION_S
    times = {name: rng.uniform(0, DURATION_S, rng.poisson(load * most)) for name, load in loads.items()}
    return _as_workload(profile, times, seed, rng)


def _as_workload(
    profile: Profile, by_tenant: Mapping[str, np.ndarray], seed: int, rng: np.random.Generator
) -> Workload:
    times = np.concatenate(list(by_tenant.values()))
    order = np.argsort(times, kind="stable")
    tenants = np.array([name for name, some in by_tenant.items() for _ in some])[order]
    table = synthetic_quality(profile, seed)
    nobody = Trace("none", DURATION_S, np.zeros(1), np.full(1, DURATION_S), np.zeros(1))
    usual = workload(nobody, table, profile.ids, seed, NOISE)
    n = len(times)
    return replace(
        usual,
        times=times[order],
        rows=rng.integers(len(table), size=n),
        similarity=np.zeros(n),
        batch=np.zeros(n, bool),
        tenants=tuple(map(str, tenants)),
    )


def rows(profile: Profile, seed: int) -> Iterator[str]:
    """A line of the table for each case; the runs of one case see the same requests of the quiet tenant."""
    for case in CASES:
        alone, fair = run(profile, case, seed, flood=0), run(profile, case, seed)
        line = run(profile, case, seed, fair=False)
        ratio = fair.p95_s / alone.p95_s
        late, quality = (
            (f"{100 * one.late:.1f}" for one in (fair, line)),
            (f"{one.quality:.3f}" for one in (fair, line)),
        )
        seconds = f"{alone.p95_s:.2f} | {fair.p95_s:.2f} | **{ratio:.2f}** | {line.p95_s:.2f}"
        about = f"| {case.workers} | {100 * case.load:.0f} % | {case.flood}"
        yield f"{about} | {seconds} | {' / '.join(late)} | {' / '.join(quality)} | {fair.flood_drawn:,} |"


HEAD = (
    "| workers | load of the quiet one | the flood comes | p95 without it, s | with it, s | ratio | in one line, s | "
    "late, %: fair / one line | quality: fair / one line | of the flood drawn |"
)


def main(argv: list[str]) -> int:
    """Print the table, and write it into the page with `--write`; returns the exit status."""
    parser = argparse.ArgumentParser(description="What one tenant's flood does to another.")
    parser.add_argument("--profile", type=Path, default=PROFILE)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(argv)
    profile = read_profile(options.profile)
    lines = [HEAD, "| --- " * HEAD.count(" | ") + "| --- |"]
    for line in rows(profile, options.seed):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        _write(lines, profile, options.seed)
    return 0


def _write(lines: list[str], profile: Profile, seed: int) -> None:
    about = (
        f"`python -m bench.fairness --write`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, seed {seed}; family "
        f"{profile.family}, profile of {profile.device}, measured {profile.measured}."
    )
    PAGE.write_text(between(PAGE.read_text(), "simulated", "\n".join([about, "", *lines])))


def between(page: str, name: str, text: str) -> str:
    """A page with this text between the marks of a name."""
    before, _, rest = page.partition(f"<!-- {name} -->\n")
    _, _, after = rest.partition(f"<!-- /{name} -->\n")
    return f"{before}<!-- {name} -->\n{text}\n<!-- /{name} -->\n{after}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
