"""The scheduler's goals, measured in the simulator: every policy on one profile, the same traces, prompts and seeds.

    make bench-scheduler                       everything, about a quarter of an hour on one core
    python -m bench.scheduler --part planner   one part; the page is put together from the last run of each

Parts: `planner`, `backlog`, `predictor`, `steady`, `twitter`, `gentd`, `day`, `spread`, `ablation`, `models`, `classes`. Figures are kept in
docs/results/scheduler.json, the page is docs/results/scheduler.md. Everything but `planner` and `backlog` is simulated. The
published profile and the traces are looked for in `--shared` (default: $ARGUS_SHARED, else ../shared beside the repository).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np

from core.devices import processor
from core.families import ROOT, load_family
from core.profiles import Profile, QualityTable, read_profile, read_quality
from scheduler.planning.milp import Instance, Level, PromptClass, solve
from scheduler.policies import NAMES, Cluster, Policy
from scheduler.policies.argus import Argus
from scheduler.simulate import Report, SimConfig, Workload, simulate, synthetic_quality, workload
from scheduler.simulate.bound import bound
from scheduler.simulate.report import plot
from traces.reader import Trace, read_trace

RESULTS = ROOT / "docs" / "results"
PAGE, KEPT, IMAGES = RESULTS / "scheduler.md", RESULTS / "scheduler.json", RESULTS / "img"
EMBEDDED = ROOT / "profiles" / "embedded" / "quality.csv"
SEEDS = EMBEDDED.with_name("quality-seeds.npz")  # every score behind the table: by level, prompts × seeds
TRAINING = EMBEDDED.with_name("quality-train.csv")  # other prompts of the same make, what the predictor learns from
OWN = EMBEDDED.with_name("cpu.json")
OWN_PEAKS, OWN_POLICIES = (0.6, 1.2, 2.0), ("clipper-ha", "clipper-ht", "pac", "argus-paper", "argus", "oracle")
FOLDS = 10  # where there is no such table
WORKERS, SLO_FACTOR, NOISE = 8, 3.0, 0.3
EXACT_CAPACITY = WORKERS * 14.29  # requests a minute of the published profile at `exact`
VERSIONS = ("numpy", "scipy")
LOADS = (0.58, 0.66, 0.74, 0.85, 0.90, 0.98)
STEADY_S, HISTORY_S, STEADY_SEEDS = 1800.0, 3600, (1, 2, 3)
# Reported load times of the models that Sommelier and Proteus switch between (METHODS.md 1): SDXL … Tiny-SD
LOAD_S = (47.0, 21.7, 21.7, 15.0, 15.0, 11.8)
SHOWN = ("clipper-ha", "clipper-ht", "sommelier", "pac", "argus-paper", "argus")


@dataclass(frozen=True)
class Setup:
    """What every part shares: the profile, the prompts, the predictions, where the traces are."""

    shared: Path
    seed: int
    measured: bool = True  # prompts of the embedded family, where its table is there; else synthetic ones

    @property
    def from_table(self) -> bool:
        return self.measured and EMBEDDED.exists()

    @cached_property
    def profile(self) -> Profile:
        return read_profile(self.shared / "profiles" / "argus-paper-a100-sdxl.json")

    @cached_property
    def quality(self) -> QualityTable:
        """Measured per-prompt qualities of the embedded family, rescaled to the profile's means; else synthetic ones."""
        if self.from_table:
            return rescaled(read_quality(EMBEDDED), self.profile)
        return synthetic_quality(self.profile, self.seed)

    @cached_property
    def predicted(self) -> QualityTable | None:
        """What the predictor says of prompts it was not trained on; None without measured qualities."""
        if not self.from_table:
            return None
        if not TRAINING.exists():
            return out_of_fold(self.quality, self.seed)
        learnt = rescaled(read_quality(TRAINING), self.profile, like=read_quality(EMBEDDED))
        return told(learnt, self.quality.prompts, self.seed)

    @property
    def prompts(self) -> str:
        if not self.from_table:
            return (
                f"{len(self.quality)} synthetic prompts whose losses are the profile's means times a tolerance spread "
                f"exponentially; “predicted” is the truth with a log-normal error of {NOISE:g} on the loss"
            )
        return (
            f"{len(self.quality)} prompts measured on the embedded family, their losses rescaled to the profile's "
            f"means; “predicted” is our predictor, {learnt_from()}"
        )

    @property
    def seconds(self) -> np.ndarray:
        return np.array([60 / level.requests_per_minute for level in self.profile.levels])

    @property
    def capacity(self) -> float:
        """Requests a minute with every worker at its cheapest level."""
        return WORKERS * max(level.requests_per_minute for level in self.profile.levels)

    @property
    def slo_s(self) -> float:
        return SLO_FACTOR * self.profile.reference.latency_s

    def trace(self, name: str) -> Trace:
        return read_trace(self.shared / "traces" / f"{name}.csv")

    def work(self, trace: Trace, seed: int, true: bool = False, **rest: Any) -> Workload:
        told = self.quality if true else self.predicted
        return workload(trace, self.quality, self.profile.ids, seed, NOISE, told, **rest)

    def config(self, policy: str, **rest: Any) -> SimConfig:
        loads = dict(zip(self.profile.ids, LOAD_S, strict=True))
        base = SimConfig(policy, {"a100": self.profile}, {"a100": WORKERS}, self.slo_s, load_s=loads)
        return replace(base, **rest)

    def run(self, policy: str, work: Workload, made: Policy | None = None, **rest: Any) -> Report:
        return simulate(self.config(policy, **rest), work, made)

    def least(self, work: Workload) -> dict[str, float]:
        """The clairvoyant bound of a workload, and the fewest late."""
        found = bound(work.times, work.truth[work.rows], self.seconds, WORKERS, self.slo_s)
        return {
            "quality_lost": found.quality_lost,
            "violations": found.late,
            "violation_rate": found.late / len(work.times),
        }


def rescaled(table: QualityTable, profile: Profile, like: QualityTable | None = None) -> QualityTable:
    """Another family's per-prompt losses under a profile's levels: matched by rank of mean loss, scaled to its means.

    Levels that lose less than 1 % on average are mostly the noise of single seeds, and are left out; a prompt that scored above
    `exact` counts as having lost nothing. What is matched, and how scaled, is seen from the table `like`, if given.
    """
    seen = like or table
    means = {level: lost(seen, level).mean() for level in seen.levels if 1 - seen.means[level] > 0.01}
    sources = sorted(means, key=lambda level: means[level])
    targets = sorted((lv for lv in profile.levels if lv.quality < 1), key=lambda lv: -lv.quality)
    at = np.linspace(0, len(sources) - 1, len(targets)).round().astype(int)
    columns = {level.id: np.zeros(len(table)) for level in profile.levels}
    for level, i in zip(targets, at, strict=True):
        factor = factor_for(lost(seen, sources[i]), 1 - level.quality)
        columns[level.id] = np.minimum(1.0, factor * lost(table, sources[i]))
    return QualityTable(profile.ids, table.prompts, 1 - np.column_stack([columns[level] for level in profile.ids]))


def lost(table: QualityTable, level: str) -> np.ndarray:
    """Losses of all prompts at a level (N,), none negative."""
    return np.maximum(0.0, 1 - table.column(level))


def factor_for(loss: np.ndarray, mean: float) -> float:
    """What the losses are multiplied by to have this mean, none above 1."""
    factor = 1.0
    for _ in range(20):
        factor *= mean / np.minimum(1.0, factor * loss).mean()
    return float(factor)


def told(learnt: QualityTable, prompts: tuple[str, ...], seed: int) -> QualityTable:
    """What a predictor trained on one table says of other prompts."""
    from scheduler.prediction.training import train

    values = train(learnt, features_of(learnt.prompts), seed=seed).predict(features_of(prompts)).mean
    values[:, learnt.levels.index("exact")] = 1.0
    return QualityTable(learnt.levels, prompts, values)


def learnt_from() -> str:
    """Which prompts the predictor learnt from, in words."""
    if TRAINING.exists():
        return f"trained on {len(read_quality(TRAINING))} other prompts with one seed each"
    return f"on prompts it was not trained on ({FOLDS} folds)"


def out_of_fold(table: QualityTable, seed: int) -> QualityTable:
    """Predictions for every prompt by a predictor trained on the folds that do not hold it."""
    from scheduler.prediction.training import train

    features = features_of(table.prompts)
    fold = np.random.default_rng(seed).permutation(len(table)) % FOLDS
    values = np.empty_like(table.values)
    for k in range(FOLDS):
        rest = np.flatnonzero(fold != k)
        known = QualityTable(table.levels, tuple(table.prompts[i] for i in rest), table.values[rest])
        values[fold == k] = train(known, features[rest], seed=seed).predict(features[fold == k]).mean
    values[:, table.levels.index("exact")] = 1.0
    return QualityTable(table.levels, table.prompts, values)


@lru_cache(maxsize=2)
def features_of(prompts: tuple[str, ...]) -> np.ndarray:
    from scheduler.prediction.features import Features

    return Features.of(load_family("embedded"))(prompts)


# -- parts --------------------------------------------------------------------------------------------------------------


def planner(setup: Setup) -> dict[str, Any]:
    """Solve times: large fleets over model counts and loads, small ones, and the brute-force test's own instances."""
    rng = np.random.default_rng(setup.seed)
    loads = (0.5, 0.8, 0.95, 1.2)
    large = [fleet(rng, 4, 1000, models, 16, 32, load) for models in (1, 2, 4, 8, 16) for load in loads]
    small = [fleet(rng, 1, 8, 2, 6, 8, load) for load in loads for _ in range(10)]
    return {"large": timed(large), "small": timed(small)}


def timed(instances: Sequence[Instance]) -> dict[str, Any]:
    """Wall time as the solver sees its limit, and CPU time, which other work on the machine does not change."""
    plans, cpu = [], []
    for instance in instances:
        started = time.process_time()
        plans.append(solve(instance))
        cpu.append(time.process_time() - started)
    return {
        "instances": len(plans),
        "cpu_median": float(np.median(cpu)),
        "cpu_max": max(cpu),
        "seconds_max": max(p.seconds for p in plans),
        "gap_max": max(p.gap for p in plans),
        "optimal": sum(p.status == "optimal" for p in plans),
    }


def fleet(
    rng: np.random.Generator, types: int, workers: int, models: int, levels: int, classes: int, load: float
) -> Instance:
    """A random instance of this size at a share of its capacity, all workers holding the first model."""
    speed, base = rng.uniform(0.5, 2, types), rng.uniform(10, 30, models)
    gain = rng.uniform(1, 3, levels)
    lanes = [
        {f"d{d}": float(base[i % models] * gain[i] * speed[d] * rng.uniform(0.8, 1.2)) for d in range(types)}
        for i in range(levels)
    ]
    capacity = sum(workers // types * max(lane[f"d{d}"] for lane in lanes) for d in range(types))
    demand = rng.dirichlet(np.ones(classes)) * capacity * load
    loss = 0.05 * (gain - 1)
    prompts = [
        PromptClass(
            f"c{j}",
            float(demand[j]),
            {f"l{i}": float(max(0.0, 1 - loss[i] * rng.exponential())) for i in range(levels)},
            0.5 if j % 3 == 0 else 0.0,
        )
        for j in range(classes)
    ]
    made = tuple(Level(f"l{i}", lane, f"m{i % models}") for i, lane in enumerate(lanes))
    devices = {f"d{d}": workers // types for d in range(types)}
    return Instance(devices, made, tuple(prompts), {d: {"m0": n} for d, n in devices.items()})


def deep(setup: Setup) -> dict[str, Any]:
    from bench.backlog import backlog

    return backlog(setup.seed)


def predictor(setup: Setup) -> dict[str, Any]:
    """What is predicted of unseen prompts, what of the table is the noise of seeds, and what a perfect predictor would reach."""
    table = read_quality(EMBEDDED)
    noise = seed_noise(table) if SEEDS.exists() else np.zeros_like(table.values)
    if TRAINING.exists():
        found = told(read_quality(TRAINING), table.prompts, setup.seed)
    else:
        found = out_of_fold(table, setup.seed)
    spread = table.values.var(axis=0)
    rows = [
        {
            "level": level,
            "mean": float(table.values[:, i].mean()),
            "spread": float(np.sqrt(spread[i])),
            "skill": float(1 - ((found.column(level) - table.values[:, i]) ** 2).mean() / spread[i]),
            "most": float(1 - (noise[:, i] ** 2).mean() / spread[i]),
        }
        for i, level in enumerate(table.levels)
        if spread[i] > 0 and level in found.levels
    ]
    return {"levels": rows, "perfect": perfect(setup, table, noise), "prompts": len(table)}


def seed_noise(table: QualityTable) -> np.ndarray:
    """Standard error of each cell (P×L): how the levels' scores scatter over seeds around their share of exact's."""
    errors = np.zeros_like(table.values)
    with np.load(SEEDS) as scores:
        exact = scores["exact"].astype(float)
        for i, level in enumerate(table.levels):
            rest = scores[level].astype(float) - table.values[:, i : i + 1] * exact
            errors[:, i] = rest.std(axis=1, ddof=1) / np.sqrt(exact.shape[1]) / exact.mean(axis=1)
    return errors


def perfect(setup: Setup, table: QualityTable, noise: np.ndarray, draws: int = 50) -> list[dict[str, float]]:
    """Steady load told what each prompt scores on average over seeds, where the truth has the table's noise on top.

    The table stands for those averages, though it is more spread than they are: no predictor does better.
    """
    rng = np.random.default_rng([setup.seed, 3])
    noisy = [
        rescaled(replace(table, values=table.values + rng.normal(size=noise.shape) * noise), setup.profile)
        for _ in range(draws)
    ]
    expected = replace(noisy[0], values=np.mean([draw.values for draw in noisy[1:]], axis=0))
    rows = []
    for load in LOADS:
        trace = steady_trace(setup, load)
        works = [workload(trace, noisy[0], setup.profile.ids, setup.seed, NOISE, told) for told in (noisy[0], expected)]
        run = partial(setup.run, history=history(setup, load, setup.seed))
        oracle, knowing = run("oracle", works[0]), run("argus", works[1])
        pac = published_pac(setup, load)
        mine, best = (report.figures["quality_mean"] - pac for report in (knowing, oracle))
        rows.append({"load": load, "way": mine / best})
    return rows


def steady(setup: Setup, seeds: Sequence[int] = STEADY_SEEDS) -> list[dict[str, float]]:
    """Poisson arrivals at fixed shares of capacity, means over seeds: how far from PAC to the oracle."""
    return [mean_row([steady_row(setup, load, seed) for seed in seeds]) for load in LOADS]


def mean_row(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def steady_row(setup: Setup, load: float, seed: int) -> dict[str, float]:
    """One load, one seed. The forecaster has seen an hour of it before, as a live one has."""
    trace, run = steady_trace(setup, load), partial(setup.run, history=history(setup, load, seed))
    true, told = setup.work(trace, seed, true=True), setup.work(trace, seed)
    runs = {
        "true": run("argus", true),
        "told": run("argus", told),
        "oracle": run("oracle", true),
    }
    row = {"load": load, "pac": published_pac(setup, load), "bound": setup.least(true)["quality_lost"]}
    for name, report in runs.items():
        row[name] = report.figures["quality_mean"]
        row[f"{name}_violations"] = report.figures["violation_rate"]
    return row


def steady_trace(setup: Setup, load: float) -> Trace:
    requests = load * setup.capacity / 60 * STEADY_S
    return Trace("steady", STEADY_S, np.zeros(1), np.full(1, STEADY_S), np.full(1, requests))


def history(setup: Setup, load: float, seed: int) -> tuple[int, ...]:
    """Requests in each second of the hour before."""
    return tuple(map(int, np.random.default_rng([seed, 4]).poisson(load * setup.capacity / 60, HISTORY_S)))


def published_pac(setup: Setup, load: float) -> float:
    """Quality of the prompt-agnostic ceiling: one level a worker, no queueing (the curve of METHODS.md 1)."""
    levels = tuple(Level(lv.id, {"a100": lv.requests_per_minute}) for lv in setup.profile.levels)
    means = {lv.id: lv.quality for lv in setup.profile.levels}
    return solve(Instance({"a100": WORKERS}, levels, (PromptClass("all", load * setup.capacity, means),))).quality


def spread(setup: Setup) -> dict[str, Any]:
    """Steady load and the Twitter peak with synthetic prompts and a fairly good predictor."""
    synthetic = replace(setup, measured=False)
    scaled = setup.trace("twitter-burst-hour").scaled_to(0.95 * setup.capacity)
    works = [synthetic.work(scaled, seed) for seed in (1, 2, 3)]
    least = [setup.least(work) for work in works]
    names = ("clipper-ht", "pac", "argus", "oracle")
    return {
        "prompts": synthetic.prompts,
        "steady": steady(synthetic, (setup.seed,)),
        "twitter": {
            "policies": {name: pooled([setup.run(name, work) for work in works]) for name in names},
            "bound": {key: float(np.mean([b[key] for b in least])) for key in least[0]},
        },
    }


def shape(
    setup: Setup, name: str, trace: Trace, seeds: Sequence[int], peaks: Iterable[float] = (0.95, 1.3)
) -> dict[str, Any]:
    """All policies over one shape at several peaks, pooled over seeds; plots of the first seed."""
    found: dict[str, Any] = {}
    for peak in peaks:
        scaled = trace.scaled_to(peak * setup.capacity)
        works = [setup.work(scaled, seed) for seed in seeds]
        reports = {policy: [setup.run(policy, work) for work in works] for policy in NAMES}
        title = f"{trace.name}, peak minute at {peak:.0%} of capacity"
        shown = [reports[policy][0] for policy in SHOWN]
        plot(shown, IMAGES / f"scheduler-{name}-{peak * 100:.0f}.png", title, setup.capacity)
        least = [setup.least(work) for work in works]
        found[f"{peak:g}"] = {
            "policies": {policy: pooled(runs) for policy, runs in reports.items()},
            "bound": {key: float(np.mean([b[key] for b in least])) for key in least[0]},
        }
    return found


def pooled(reports: Sequence[Report], exact: float = EXACT_CAPACITY) -> dict[str, float]:
    """Figures over several seeds: sums of counts, means weighted by requests. `exact`: all workers at it, a minute."""
    keys = ("violation_rate", "goodput_per_minute", "quality_mean", "quality_lost", "latency_p50_s", "latency_p99_s")
    weights = [r.figures["requests"] for r in reports]
    counts = {key: int(sum(r.figures[key] for r in reports)) for key in ("requests", "served", "violations")}
    means = {key: float(np.average([r.figures[key] for r in reports], weights=weights)) for key in keys}
    return {**counts, **means, "burst_per_minute": in_burst(reports, exact), "seconds": max(r.seconds for r in reports)}


def in_burst(reports: Sequence[Report], exact: float) -> float:
    """Requests in time a minute, of those that arrive in minutes with more than all workers carry at the exact level."""
    in_time, minutes = 0.0, 0
    for r in reports:
        for demand, late in zip(r.timeline["demand"], r.timeline["violations"], strict=True):
            if demand > exact:
                in_time, minutes = in_time + demand - late, minutes + 1
    return in_time / max(1, minutes)


def twitter(setup: Setup) -> dict[str, Any]:
    return shape(setup, "twitter", setup.trace("twitter-burst-hour"), (1, 2, 3))


def gentd(setup: Setup) -> dict[str, Any]:
    return shape(setup, "gentd", setup.trace("gentd26-cluster-qps-first-half").window(10_800, 10_800), (1,))


def day(setup: Setup) -> dict[str, Any]:
    """A whole day of Twitter: how long it takes to simulate, and what the slow shape does to the comparison."""
    scaled = setup.trace("twitter-days-01-07").window(0, 86_400).scaled_to(0.95 * setup.capacity)
    work = setup.work(scaled, setup.seed)
    reports = [setup.run(policy, work, tick_s=30.0) for policy in ("clipper-ha", "clipper-ht", "pac", "argus")]
    plot(reports, IMAGES / "scheduler-day.png", "twitter-days-01-07, first day, peak minute at 95%", setup.capacity)
    return {r.policy: pooled([r]) for r in reports}


class Blind(Argus):
    prompt_aware = False


class Early(Argus):
    late_binding = False


class Queueing(Argus):
    admission_control = False


def ablation(setup: Setup) -> dict[str, Any]:
    """What each part of Argus is worth on the Twitter hour."""
    parts: dict[str, type[Argus]] = {"argus": Argus, "without prompts": Blind, "level bound at arrival": Early}
    parts["late requests keep their place"] = Queueing
    found: dict[str, Any] = {}
    for peak in (0.95, 1.3):
        trace = setup.trace("twitter-burst-hour").scaled_to(peak * setup.capacity)
        work, known = setup.work(trace, setup.seed), setup.work(trace, setup.seed, true=True)
        cluster = Cluster({"a100": setup.profile}, setup.slo_s)
        rows = {name: pooled([setup.run("argus", work, kind(cluster))]) for name, kind in parts.items()}
        rows["true qualities told"] = pooled([setup.run("argus", known)])
        found[f"{peak:g}"] = rows
    return found


def classes(setup: Setup) -> dict[str, Any]:
    """Two service classes at 130 %, and a worker that dies in the burst at 95 %."""
    trace = setup.trace("twitter-burst-hour")
    over, under = (trace.scaled_to(peak * setup.capacity) for peak in (1.3, 0.95))
    plain = setup.run("argus", setup.work(over, setup.seed))
    mixed = setup.run("argus", setup.work(over, setup.seed, batch_share=0.25))
    dead = setup.run("argus", setup.work(under, setup.seed), failures=((2000.0, 0, 120.0),))
    return {
        "all interactive": pooled([plain]),
        "a quarter batch": {**pooled([mixed]), "batch": mixed.batch, "evictions": mixed.ticks["evictions"]},
        "one of eight workers dead for 120 s": pooled([dead]),
    }


def models(setup: Setup) -> dict[str, Any]:
    """The embedded family as it runs on two CPU workers: four models, requests that share forwards, Twitter's hour."""
    profile, slots = read_profile(OWN), {"cpu": 2}
    quality = read_quality(EMBEDDED).select(profile.ids)
    exact = slots["cpu"] * profile.reference.requests_per_minute
    predicted = own_predictions(quality, setup.seed)
    found: dict[str, Any] = {}
    for peak in OWN_PEAKS:
        trace = setup.trace("twitter-burst-hour").scaled_to(peak * exact)
        work = workload(trace, quality, profile.ids, setup.seed, NOISE, predicted)
        runs = {}
        for policy in OWN_POLICIES:
            slo_s = SLO_FACTOR * profile.reference.latency_s
            config = SimConfig(policy, {"cpu": profile}, slots, slo_s)
            runs[policy] = pooled([simulate(config, work)], exact)
        found[f"{peak:g}"] = {"policies": runs}
    return found


def own_predictions(quality: QualityTable, seed: int) -> QualityTable:
    """What the predictor says of these prompts; a level's mean where it says nothing."""
    found = told(read_quality(TRAINING), quality.prompts, seed) if TRAINING.exists() else out_of_fold(quality, seed)
    columns = [
        found.column(level) if level in found.levels else np.full(len(quality), mean)
        for level, mean in quality.means.items()
    ]
    return replace(quality, values=np.column_stack(columns))


# -- the page -----------------------------------------------------------------------------------------------------------


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines)


def percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f}"


def goal(text: str, reached: bool, figure: str) -> tuple[str, str, str]:
    return text, figure, "reached" if reached else "**not reached**"


def goals(rows: Iterable[tuple[str, str, str]]) -> str:
    return table(("goal", "figure", ""), rows)


def show_backlog(data: dict[str, Any]) -> str:
    longest, moved = max(data["seconds"]), max(data["moved"])
    said = (
        f"{data['waiting']} requests wait on {data['workers']} workers; ticks took "
        f"{', '.join(f'{seconds:.2f}' for seconds in data['seconds'])} s and moved up to {moved} of them to other workers."
    )
    return f"{said}\n\n" + goals([goal("a tick with 10,000 waiting in under 1 s", longest < 1, f"{longest:.2f} s")])


def show_planner(data: dict[str, Any]) -> str:
    large, small = data["large"], data["small"]
    sizes = (("1,000 workers of 4 types, 16 levels, 32 classes", large), ("8 workers, 6 levels, 8 classes", small))
    cells = [
        (
            name,
            str(d["instances"]),
            str(d["optimal"]),
            f"{d['gap_max']:.1e}",
            *(f"{1000 * d[key]:.0f}" for key in ("cpu_median", "cpu_max", "seconds_max")),
        )
        for name, d in sizes
    ]
    checks = [
        goal(
            "large: optimal or ≤ 0.1 % gap in under 1 s",
            large["seconds_max"] < 1 and large["gap_max"] <= 1e-3,
            f"{large['seconds_max']:.2f} s, gap {large['gap_max']:.1e}",
        ),
        goal("small: under 50 ms (CPU)", small["cpu_max"] < 0.05, f"{1000 * small['cpu_max']:.0f} ms"),
        ("200 random small instances equal brute force", "`tests/scheduler/planning/test_milp.py`", "a test"),
    ]
    head = ("instance", "how many", "optimal", "largest gap", "median CPU ms", "longest CPU ms", "longest wall ms")
    return f"{table(head, cells)}\n\n{goals(checks)}"


def show_predictor(data: dict[str, Any]) -> str:
    cells = [
        (
            f"`{row['level']}`",
            percent(row["mean"]),
            percent(row["spread"]),
            percent(row["skill"], 0),
            percent(row["most"], 0),
        )
        for row in data["levels"]
    ]
    head = ("level", "mean relative quality %", "spread over prompts, points", "skill R² %", "most there can be %")
    ways = [(percent(row["load"], 0), percent(row["way"], 0)) for row in data["perfect"]]
    return (
        f"{table(head, cells)}\n\nSteady load, way from PAC to the oracle, had the predictor known of each prompt what it "
        f"scores on average (simulated):\n\n{table(('load %', 'way %'), ways)}"
    )


def show_steady(rows: list[dict[str, float]]) -> str:
    def way(row: dict[str, float], name: str) -> float:
        return (row[name] - row["pac"]) / max(1e-9, row["oracle"] - row["pac"])

    cells = [
        (
            percent(row["load"], 0),
            percent(row["pac"]),
            percent(row["told"]),
            percent(row["true"]),
            percent(row["oracle"]),
            percent(1 - row["bound"]),
            percent(way(row, "told"), 0),
            percent(way(row, "true"), 0),
            f"{percent(row['told_violations'])} / {percent(row['true_violations'])} / {percent(row['oracle_violations'])}",
        )
        for row in rows
    ]
    head = (
        "load %", "PAC", "argus, predicted", "argus, true", "oracle", "bound", "way, predicted %", "way, true %",
        "violations % (predicted / true / oracle)",
    )  # fmt: skip
    told, true = (min(way(row, name) for row in rows) for name in ("told", "true"))
    above = min(row["told"] - row["pac"] for row in rows)
    checks = [
        goal("above PAC at every load", above > 0, f"by {100 * above:.2f} points at least"),
        goal(
            "≥ 98 % of the way from PAC to `oracle` with true qualities", true >= 0.98, f"{percent(true, 0)} % at least"
        ),
        goal("≥ 80 % with predicted ones", told >= 0.8, f"{percent(told, 0)} % at least"),
    ]
    return f"{table(head, cells)}\n\n{goals(checks)}"


def show_shape(data: dict[str, Any], less_than_pac: float) -> str:
    under, over = data["0.95"]["policies"], data["1.3"]["policies"]
    return "\n\n".join(
        [
            "Peak minute at 95 % of capacity:",
            show_policies(data["0.95"]),
            goals(under_goals(under, less_than_pac, data["0.95"]["bound"])),
            "Peak minute at 130 % of capacity:",
            show_policies(data["1.3"]),
            goals(over_goals(over)),
        ]
    )


def show_policies(data: dict[str, Any]) -> str:
    rows = [
        (
            f"`{name}`",
            str(f["requests"]),
            percent(f["violation_rate"]),
            f"{f['goodput_per_minute']:.1f}",
            f"{f['burst_per_minute']:.1f}",
            percent(f["quality_mean"]),
            f"{f['latency_p50_s']:.1f}",
            f"{f['latency_p99_s']:.1f}",
        )
        for name, f in data["policies"].items()
    ]
    least = data.get("bound")
    if least:
        rows.append(
            ("*bound*", "", percent(least["violation_rate"]), "", "", percent(1 - least["quality_lost"]), "", "")
        )
    return table(
        ("policy", "requests", "violations %", "goodput/min", "in the burst", "quality %", "p50 s", "p99 s"), rows
    )


def times(more: float, fewer: float) -> str:
    return f"{more / fewer:.0f}×" if fewer else "none against some"


def under_goals(policies: dict[str, Any], less_than_pac: float, least: dict[str, float]) -> list[tuple[str, str, str]]:
    mine = policies["argus"]
    rivals = [policies[name] for name in ("clipper-ha", "nirvana", "sommelier")]
    others = [f for name, f in policies.items() if name not in ("argus", "oracle")]
    fewest = min(f["violation_rate"] for f in rivals)
    most, burst = (max(f[key] for f in rivals) for key in ("goodput_per_minute", "burst_per_minute"))
    offered = mine["goodput_per_minute"] / (1 - mine["violation_rate"])
    pac, cheapest = (1 - mine["quality_lost"] / policies[name]["quality_lost"] for name in ("pac", "clipper-ht"))
    possible = 1 - least["quality_lost"] / policies["pac"]["quality_lost"]
    never_more = min(f["violation_rate"] for f in others)
    return [
        goal("violations ≤ 0.1 %", mine["violation_rate"] <= 0.001, f"{percent(mine['violation_rate'], 3)} %"),
        goal("≥ 10× fewer than `clipper-ha`, `nirvana`, `sommelier`", fewest >= 10 * mine["violation_rate"], times(fewest, mine["violation_rate"])),
        goal("never more than any policy", mine["violation_rate"] <= never_more, f"fewest of others {percent(never_more, 3)} %"),
        goal("goodput ≥ 40 % above those three", mine["goodput_per_minute"] >= 1.4 * most, f"+{percent(mine['goodput_per_minute'] / most - 1, 0)} % (bound: all in time, +{percent(offered / most - 1, 0)} %)"),
        goal("the same in minutes above the exact capacity", mine["burst_per_minute"] >= 1.4 * burst, f"+{percent(mine['burst_per_minute'] / burst - 1, 0)} %"),
        goal("goodput never below any policy", mine["goodput_per_minute"] >= max(f["goodput_per_minute"] for f in others) - 1e-9, f"{mine['goodput_per_minute']:.2f} against {max(f['goodput_per_minute'] for f in others):.2f}"),
        goal(f"quality lost ≥ {less_than_pac:.0%} less than `pac`", pac >= less_than_pac, f"{percent(pac, 0)} % less (bound {percent(possible, 0)} %)"),
        goal("quality lost ≥ 60 % less than `clipper-ht`", cheapest >= 0.6, f"{percent(cheapest, 0)} % less"),
    ]  # fmt: skip


def over_goals(policies: dict[str, Any]) -> list[tuple[str, str, str]]:
    mine = policies["argus"]["violation_rate"]
    oracle = policies["oracle"]["violation_rate"]
    queueing = min(policies[name]["violation_rate"] for name in ("pac", "proteus", "clipper-ht", "argus-paper"))
    return [
        goal(
            "violations ≤ 1.1 × `oracle`'s",
            mine <= 1.1 * oracle,
            f"{mine / oracle:.2f}×" if oracle else "oracle has none",
        ),
        goal(
            "≥ 5× fewer than `pac`, `proteus`, `clipper-ht`, `argus-paper`", queueing >= 5 * mine, times(queueing, mine)
        ),
    ]


def show_spread(data: dict[str, Any]) -> str:
    said = f"Prompts here: {data['prompts']}."
    return f"{said}\n\n{show_steady(data['steady'])}\n\nTwitter's hour at 95 %:\n\n{show_policies(data['twitter'])}"


def show_day(data: dict[str, Any]) -> str:
    slowest = max(f["seconds"] for f in data.values())
    return f"{show_policies({'policies': data})}\n\n" + goals(
        [goal("a day simulates in under 60 s a policy (CPU)", slowest < 60, f"{slowest:.0f} s the slowest")]
    )


def show_ablation(data: dict[str, Any]) -> str:
    return "\n\n".join(
        f"Peak at {float(peak):.0%}:\n\n{show_policies({'policies': rows})}" for peak, rows in data.items()
    )


def show_classes(data: dict[str, Any]) -> str:
    batch = data["a quarter batch"]["batch"]
    said = (
        f"Of {batch['requests']} batch requests {batch['served']} were served, {batch['late']} past their window, at mean "
        f"quality {percent(batch['quality_mean'])} %; they gave up their place {data['a quarter batch']['evictions']} times."
    )
    return f"{show_policies({'policies': data})}\n\n{said}"


def show_models(data: dict[str, Any]) -> str:
    return "\n\n".join(
        f"Peak minute at {float(peak):.0%} of what both carry at `exact`:\n\n{show_policies(found)}"
        for peak, found in data.items()
    )


@dataclass(frozen=True)
class Part:
    """A section: what runs, how it is shown, under which heading, with which words and pictures."""

    run: Callable[[Setup], Any]
    show: Callable[[Any], str]
    title: str
    words: str
    images: tuple[str, ...] = ()


PARTS = {
    "planner": Part(planner, show_planner, "Planner", "Measured with one thread on a machine that had other work; wall time includes it."),
    "backlog": Part(
        deep,
        show_backlog,
        "A deep backlog",
        "Measured: the live tick on real PostgreSQL and Valkey, wall time from observing to published messages, on a "
        "machine that had other work.",
    ),
    "predictor": Part(
        predictor,
        show_predictor,
        "Predictor",
        "On the measured table of the embedded family, each prompt predicted by a predictor that was not trained on it but on "
        "`quality-train.csv`, other prompts with one seed each (without that file: on the other folds). Skill is the share of the variance over prompts that is predicted. What a prompt scores differs from seed to "
        "seed; the table has means over a few seeds, and what is left of that noise nobody can predict from the prompt: “most "
        "there can be” is one minus its share, from the scatter over seeds.",
    ),
    "steady": Part(
        steady,
        show_steady,
        "Steady load",
        f"Poisson arrivals for {STEADY_S:.0f} s at each share of capacity, means over {len(STEADY_SEEDS)} seeds; the forecast has "
        "seen an hour of the same before. Relative quality in %. PAC is the published "
        "curve (one level a worker, no queueing); “way” is the share of the distance from PAC to the oracle. The oracle is "
        "the same policy told the next arrivals and the true qualities; the bound is a linear programme over the very "
        "requests (`scheduler/simulate/bound.py`), below any schedule.",
    ),
    "twitter": Part(
        twitter,
        lambda data: show_shape(data, 0.25),
        "Twitter, its burstiest hour",
        "`twitter-burst-hour.csv`, three seeds.",
        ("scheduler-twitter-95.png", "scheduler-twitter-130.png"),
    ),
    "gentd": Part(
        gentd,
        lambda data: show_shape(data, 0.30),
        "GenTD26, a production text-to-image cluster",
        "`gentd26-cluster-qps-first-half.csv`, hours 3 to 6.",
        ("scheduler-gentd-95.png", "scheduler-gentd-130.png"),
    ),
    "day": Part(
        day, show_day, "Twitter, a day", "First day of `twitter-days-01-07.csv`, peak at 95 %.", ("scheduler-day.png",)
    ),
    "spread": Part(
        spread,
        show_spread,
        "With prompts spread as in METHODS.md",
        "The same with the other model of prompts, to tell the scheduler's share from the predictor's.",
    ),
    "ablation": Part(ablation, show_ablation, "What each part is worth", "The Twitter hour, `argus` with one part taken away."),
    "models": Part(
        models,
        show_models,
        "Several models, shared forwards",
        "The embedded family by its own profile (`profiles/embedded/cpu.json`) on two CPU workers, which the published profile, one "
        "model without batches, has nothing of. Twitter's hour, target latency 3 × exact.",
    ),
    "classes": Part(classes, show_classes, "Service classes and a dead worker", "The Twitter hour at 130 % and at 95 %."),
}  # fmt: skip


def page(kept: dict[str, Any]) -> str:
    about = kept["about"]
    lines = [
        "# Scheduler: every policy in one simulator",
        "",
        "Made by `make bench-scheduler`; reproducible by seed. **Everything but the times of planner and backlog is simulated.**",
        "",
        f"On {about['machine']}. Each part names the day it was last run.",
        "",
        f"{WORKERS} workers of the published profile `argus-paper-a100-sdxl.json` (SDXL on A100, unbatched), capacity "
        f"{about['capacity']:.1f} requests a minute with all at the cheapest level, target latency {about['slo_s']:.1f} s "
        f"(3 × exact). Prompts: {about['prompts']}.",
        "",
        "All policies get the same forecast, ticks (10 s) and engine. `pac` and `argus-paper` also get Argus' headroom "
        "and backlog term, and `pac` a smooth round robin. `proteus` and `sommelier` choose among models, not levels "
        f"of one: a change loads weights ({LOAD_S[0]:g} to {LOAD_S[-1]:g} s, as reported). `nirvana`'s cache is modelled by "
        "similarities that save the 21 % of GPU time it reports. Violations count late, shed and failed requests; "
        "quality is the mean over what was served, late or not, which flatters policies that queue.",
    ]
    for name, part in PARTS.items():
        if name in kept:
            lines += ["", f"## {part.title}", "", f"{part.words} ({kept['days'][name]})", "", part.show(kept[name])]
            for image in part.images:
                lines += ["", f"![{part.title}](img/{image})"]
    return "\n".join(lines) + "\n"


def read_kept() -> dict[str, Any]:
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}


@click.command()
@click.option("--part", "parts", multiple=True, type=click.Choice(list(PARTS)), help="Only these. Default: all.")
@click.option(
    "--shared", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of profiles and traces."
)
@click.option("--seed", default=1, show_default=True)
def main(parts: tuple[str, ...], shared: Path | None, seed: int) -> None:
    """Run the scheduler's benchmark and write docs/results/scheduler.md."""
    setup = Setup(shared or Path(os.environ.get("ARGUS_SHARED", ROOT.parent / "shared")), seed)
    machine = f"{processor()}, {', '.join(f'{name} {version(name)}' for name in VERSIONS)}"
    about = {
        **{"capacity": setup.capacity, "slo_s": setup.slo_s, "prompts": setup.prompts, "seed": seed},
        "machine": machine,
    }
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in parts or PARTS:
        started = time.perf_counter()
        found = PARTS[name].run(setup)
        kept = read_kept()  # again: parts may run side by side
        days = {**kept.get("days", {}), name: f"{datetime.now(UTC):%Y-%m-%d}"}
        kept |= {"about": about, "days": days, name: found}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(kept), encoding="utf-8")
        click.echo(f"{name}: {time.perf_counter() - started:.0f} s")
        click.echo(PARTS[name].show(kept[name]))


if __name__ == "__main__":
    main()
