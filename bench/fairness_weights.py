"""Whose quality pays for a tenant that asks for more than its share: `python -m bench.fairness_weights [--write]`.

Two tenants send interactive requests all the time: one what is well within its share, the other more and more. Three
ways to share: turns and allowances as they are (`scheduler.policies.fairness`), simulated; one line, simulated; and
weights of the tenants' demand in the plan's objectives (`PromptClass.weight`), solved for the same loads and prompts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from bench.fairness import PAGE, PROFILE, SLO_FACTOR, between, requests_of
from core.profiles import Profile, read_profile
from scheduler.planning.instance import Instance
from scheduler.planning.milp import solve
from scheduler.policies import Cluster
from scheduler.policies.prompts import prompt_classes, quality_caps
from scheduler.simulate import SimConfig, simulate_outcomes, synthetic_quality
from scheduler.simulate.report import Outcome

MODEST, GREEDY = "modest", "greedy"
WORKERS, WITHIN, SEEDS, WARM_S = 2, 0.3, 1, 30.0
CASES = [(1.0, 1.0), (2.0, 1.0), (2.0, 3.0)]


@dataclass(frozen=True)
class Seen:
    """Of each tenant, by name: mean relative quality of what was served, and the share that was late."""

    quality: Mapping[str, float]
    late: Mapping[str, float]


def simulated(profile: Profile, asked: float, weight: float, fair: bool) -> Seen:
    """The tenants' requests over some minutes, a few times; the modest one has this weight, the other 1."""
    exact = profile.levels[0]
    found: dict[str, list[Outcome]] = {MODEST: [], GREEDY: []}
    for seed in range(SEEDS):
        work = requests_of(profile, {MODEST: WITHIN, GREEDY: asked}, WORKERS, seed)
        config = SimConfig("argus", {"d": profile}, {"d": WORKERS}, SLO_FACTOR * exact.latency_s, fair=fair, seed=seed)
        outcomes = simulate_outcomes(replace(config, weights={MODEST: weight}), work)
        for one, tenant in zip(outcomes, work.tenants, strict=True):
            if one.arrived >= WARM_S:
                found[tenant].append(one)
    quality = {name: float(np.mean([one.quality for one in some if one.served])) for name, some in found.items()}
    return Seen(quality, {name: float(np.mean([one.late for one in some])) for name, some in found.items()})


def planned(profile: Profile, asked: float, weight: float) -> Seen:
    """What a plan gives each tenant whose objectives count the modest one's requests by its weight."""
    cluster = Cluster({"d": profile}, SLO_FACTOR * profile.levels[0].latency_s)
    known = synthetic_quality(profile, 0).select(cluster.levels).values
    sample = np.minimum(known, quality_caps(cluster.quality))
    per_minute = WORKERS * profile.levels[0].requests_per_minute
    of = {
        tenant: [
            replace(one, id=f"{tenant}/{one.id}", weight=counts)
            for one in prompt_classes(cluster.levels, sample, np.zeros(len(sample)), share * per_minute)
        ]
        for tenant, share, counts in ((MODEST, WITHIN, weight), (GREEDY, asked, 1.0))
    }
    plan = solve(Instance({"d": WORKERS}, cluster.planned_levels(), (*of[MODEST], *of[GREEDY])))
    quality, late = {}, {}
    for tenant, classes in of.items():
        rates = [(rate, one.quality[level]) for one in classes for level, rate in plan.served[one.id].items()]
        quality[tenant] = sum(rate * kept for rate, kept in rates) / sum(rate for rate, _ in rates)
        late[tenant] = sum(plan.shed.get(one.id, 0.0) for one in classes) / sum(one.demand for one in classes)
    return Seen(quality, late)


HEAD = (
    "| the other asks for | weight of the first | turns and allowances: first, other | late, % | in one line | late, % "
    "| weights in the plan | shed, % |"
)


def rows(profile: Profile) -> Iterator[str]:
    """A line of the table for each case."""
    for asked, weight in CASES:
        ways = (
            simulated(profile, asked, weight, fair=True),
            simulated(profile, asked, weight, fair=False),
            planned(profile, asked, weight),
        )
        cells = [f"{_pair(way.quality, '.4f')} | {_pair(way.late, '.1f', 100)}" for way in ways]
        yield f"| {100 * asked:.0f} % | {weight:.2g} | {' | '.join(cells)} |"


def _pair(values: Mapping[str, float], form: str, times: float = 1.0) -> str:
    return ", ".join(format(times * values[name], form) for name in (MODEST, GREEDY))


def main(argv: list[str]) -> int:
    """Print the table, and write it into the page with `--write`; returns the exit status."""
    parser = argparse.ArgumentParser(description="Whose quality pays for a tenant that asks for more than its share.")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(argv)
    profile = read_profile(PROFILE)
    lines = [HEAD, "| --- " * HEAD.count(" | ") + "| --- |"]
    for line in rows(profile):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        about = (
            f"`python -m bench.fairness_weights --write`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, seed 0, "
            f"family {profile.family}, profile of {profile.device}, {profile.measured}; {WORKERS} workers, "
            f"the first asks for {100 * WITHIN:.0f} % of what they carry at `exact`."
        )
        PAGE.write_text(between(PAGE.read_text(), "weights", "\n".join([about, "", *lines])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
