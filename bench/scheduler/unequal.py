"""Requests of unequal length and target: what it brings that a running one gives way to one that would be late."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.scheduler.intervals import drawn, shown
from bench.scheduler.parallel import each
from bench.scheduler.part import Part
from bench.scheduler.prompts import EMBEDDED
from bench.scheduler.setup import Setup
from core.families import load_family
from core.profiles import Profile, QualityTable, read_profile, read_quality
from core.settings import ROOT
from scheduler.policies import Cluster, make_policy
from scheduler.policies.argus import Argus
from scheduler.simulate import Report, SimConfig, Workload, simulate, workload
from traces.reader import Trace

REQUESTS = 1500  # of a run
LOADS = (0.6, 0.95, 1.3)  # of what the workers carry at the reference level
POOLS = (1, 4)  # workers
SEEDS = 5
TARGET, LEAST_S = 3.0, 0.3  # of what a request takes alone, and never less
LOOK_S = 0.25  # as workers look
RIVALS = ("tetriserve", "genserve", "nirvana")  # made for requests of unequal length, and what two of them run on


class WithoutGivingWay(Argus):
    pauses = False


@dataclass(frozen=True)
class Mix:
    """Kinds of requests: (share, steps, pixels a side)."""

    family: str
    kinds: tuple[tuple[float, int, int], ...]


MIXES = {
    "the embedded family": Mix("embedded", ((0.4, 12, 256), (0.3, 12, 128), (0.2, 1, 256), (0.1, 1, 128))),
    "SDXL on an A100": Mix("sdxl", ((0.3, 50, 1024), (0.3, 25, 1024), (0.2, 50, 512), (0.2, 12, 512))),
}


def unequal(setup: Setup) -> dict[str, Any]:
    """By mix, workers and load: late by kind with and without giving way, what is lost, how many paused, by seed."""
    asked = [(name, workers, load, seed) for name in MIXES for workers in POOLS for load in LOADS
             for seed in setup.seeds[:SEEDS]]  # fmt: skip
    found: dict[str, Any] = {}
    for (name, workers, load, _), kept in zip(asked, each(setup, _run, asked), strict=True):
        found.setdefault(f"{name}|{workers}|{load}", []).append(kept)
    return found


def _run(setup: Setup, name: str, workers: int, load: float, seed: int) -> dict[str, Any]:
    mix = MIXES[name]
    profile, table = _measured(setup, name)
    work, kinds = _work(mix, profile, table, workers * load, seed)
    any_hit = mix.family != "embedded"
    config = SimConfig("argus", {"d": profile}, {"d": workers}, TARGET * profile.reference.latency_s,
                       any_hit=any_hit, look_s=LOOK_S, seed=seed)  # fmt: skip
    cluster = Cluster(config.profiles, config.slo_s, memory={"d": profile.memory_mb} if profile.memory_mb else {})
    made = {"without": WithoutGivingWay(cluster), "giving way": make_policy("argus", cluster)}
    if any_hit:  # rivals choose among caching levels alone
        made |= {rival: make_policy(rival, cluster) for rival in RIVALS}
    runs = {way: simulate(replace(config, policy=policy.name), work, policy) for way, policy in made.items()}
    return {way: _kept(report, kinds, len(mix.kinds)) for way, report in runs.items()}


def _kept(report: Report, kinds: np.ndarray, n: int) -> dict[str, Any]:
    late = [float(report.late[kinds == kind].mean()) for kind in range(n)]
    figures = {"late": float(report.late.mean()), "by_kind": late, "lost": report.figures["quality_lost"]}
    return {**figures, "requests": len(kinds), "pauses": report.ticks["pauses"]}


def _measured(setup: Setup, name: str) -> tuple[Profile, QualityTable]:
    if MIXES[name].family == "embedded":
        return read_profile(ROOT / "profiles" / "embedded" / "cpu.json"), read_quality(EMBEDDED)
    return setup.profile, setup.quality


def _work(mix: Mix, profile: Profile, table: QualityTable, load: float, seed: int) -> tuple[Workload, np.ndarray]:
    """Poisson arrivals of the mix, and of which kind each is."""
    shares = np.array([share for share, _, _ in mix.kinds])
    family = load_family(mix.family)
    reference = (profile.reference.id,)
    usual = np.array([(family.lengths(reference, n, side, side) or (1.0,))[0] for _, n, side in mix.kinds])
    rate = load * profile.reference.requests_per_minute / 60 / float(shares @ usual)
    seconds = REQUESTS / rate
    trace = Trace("steady", seconds, np.zeros(1), np.full(1, seconds), np.full(1, float(REQUESTS)))
    work = workload(trace, table, profile.ids, seed, noise=0.3)
    kinds = np.random.default_rng([seed, 9]).choice(len(shares), len(work.times), p=shares)
    lengths = np.array([_lengths(profile, mix, n, side) for _, n, side in mix.kinds])
    target_s = np.maximum(LEAST_S, TARGET * profile.reference.latency_s * usual)
    return replace(work, lengths=lengths[kinds], target_s=target_s[kinds]), kinds


def _lengths(profile: Profile, mix: Mix, steps: int, side: int) -> tuple[float, ...]:
    """By level of the profile; one that the family file does not have runs like the reference."""
    family = load_family(mix.family)
    known = [level if level in family.levels else family.reference for level in profile.ids]
    return family.lengths(known, steps, side, side) or (1.0,) * len(known)


def show_unequal(data: dict[str, Any]) -> str:
    lines: list[str] = []
    for name, mix in MIXES.items():
        kinds = ", ".join(f"{share:.0%} of {steps} steps at {side}²" for share, steps, side in mix.kinds)
        lines += [
            f"{name}, {kinds}:",
            "",
            "| workers | load % | late % without | giving way | less, in points | by kind, without | giving way "
            "| lost % without | giving way | pauses % |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *[_row(key, runs) for key, runs in data.items() if key.startswith(name)],
            "",
            *_against_rivals({key: runs for key, runs in data.items() if key.startswith(name)}),
        ]
    return "\n".join(lines).rstrip()


def _against_rivals(data: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Late and lost of those who also let go, where they ran."""
    ways = [way for way in ("giving way", *RIVALS) if all(way in run for runs in data.values() for run in runs)]
    if len(ways) == 1:
        return []
    named = ["`argus`", *(f"`{way}`" for way in ways[1:])]
    rows = [f"| workers | load % | {' | '.join(f'{name}: late %, lost %' for name in named)} |",
            "|" + " --- |" * (2 + len(named))]  # fmt: skip
    for key, runs in data.items():
        _, workers, load = key.split("|")
        weights = [run["without"]["requests"] for run in runs]
        cells = [", ".join(shown(drawn([run[way][what] for run in runs], weights)) for what in ("late", "lost"))
                 for way in ways]  # fmt: skip
        rows.append(f"| {workers} | {100 * float(load):.0f} | {' | '.join(cells)} |")
    return [*rows, ""]


def _row(key: str, runs: list[dict[str, Any]]) -> str:
    _, workers, load = key.split("|")
    weights = [run["without"]["requests"] for run in runs]
    ways = ("without", "giving way")
    late = {way: drawn([run[way]["late"] for run in runs], weights) for way in ways}
    lost = {way: drawn([run[way]["lost"] for run in runs], weights)[0] for way in ways}
    kinds = {way: np.average([run[way]["by_kind"] for run in runs], axis=0, weights=weights) for way in ways}
    pauses = sum(run["giving way"]["pauses"] for run in runs) / sum(weights)
    cells = [
        workers, f"{100 * float(load):.0f}", shown(late["without"]), shown(late["giving way"]),
        shown(late["without"] - late["giving way"]),
        *(" · ".join(f"{100 * share:.2f}" for share in kinds[way]) for way in ("without", "giving way")),
        f"{100 * lost['without']:.2f}", f"{100 * lost['giving way']:.2f}", f"{100 * pauses:.1f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


PART = Part(
    unequal,
    show_unequal,
    "Requests of unequal length",
    "`argus`, where each request wants its image in three times what it takes alone: with and without a running "
    "request giving way to one that would be late ([why](../decisions/0057-a-long-request-gives-way.md)). Beside the "
    "published ladder those whose papers are about requests of unequal length, at the same targets; they let go, too.",
)
