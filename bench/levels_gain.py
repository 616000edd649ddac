"""What more kinds of level gain above capacity: the plan with all of them against that with caching and smaller models.

    python -m bench.levels_gain [--seeds 12] [--write]

Simulated from what was measured: the embedded family's profile and quality table, held-out prompts, predictions as live
(the predictor that ships; of a level it does not know, the table's mean). Demand is steady at 130 % of what the workers
carry exactly. All plans meet the same requests under each seed.

What a level by name costs is in the profile, or follows from it: fewer steps are so many of its model's; those of a
`cq` level are its model's by the ratio of processor times that `bench.levels` found. The page says which.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.levels_page import GAIN, KEPT, write_page
from bench.own import run_of
from bench.scheduler.intervals import drawn, interval
from bench.scheduler.prompts import features_of
from core.families import load_family
from core.levels import Level
from core.measured import SHIPPED
from core.profiles import LevelProfile, Profile, QualityTable, read_profile, read_quality
from scheduler.prediction.store import shipped
from scheduler.simulate import SimConfig, simulate, workload
from traces.reader import Trace

WORKERS, DEVICE = 4, "cpu"
LOAD, SECONDS, SLO_S = 1.3, 60.0, 2.0
REUSED = ("ours", 3)  # the way of `bench.levels` that `cq-3` is, and its interval
BASE = "caching and smaller models"
KINDS = ("exact", "ac", "sm")  # of `BASE`
FIGURES = ("quality_lost", "quality_mean", "violation_rate")


@dataclass(frozen=True)
class World:
    """What was measured, levels by name among those to plan with."""

    profile: Profile
    truth: QualityTable
    told: QualityTable
    derived: tuple[str, ...]

    @property
    def plans(self) -> dict[str, tuple[str, ...]]:
        """The levels of each plan; with those by name only where their quality was measured."""
        few = tuple(level.id for level in self.profile.levels if level.strategy in KINDS)
        return {BASE: few, "as auto has them": self.profile.ids, "all, by name too": self.truth.levels}

    def with_levels(self, levels: Sequence[str]) -> Profile:
        kept = [level for level in self.profile.all_levels if level.id in levels]
        means = self.truth.means
        fitted = (level.model_copy(update={"quality": min(1.0, means[level.id])}) for level in kept)
        return self.profile.model_copy(update={"levels": tuple(fitted), "by_name": ()})


def measured(folder: Path) -> World:
    """The shipped measurements; raises `BadProfile` where one is missing or cannot be read."""
    family, profile = load_family("embedded"), read_profile(folder / f"{DEVICE}.json")
    table = read_quality(folder / "quality.csv")
    there = {level.id for level in profile.all_levels}
    lacking = [family.level(name) for name in table.levels if name in family.levels and name not in there]
    derived = tuple(derived_from(profile, level) for level in lacking)
    whole = profile.model_copy(update={"by_name": (*profile.by_name, *derived)})
    truth = table.select(tuple(level.id for level in whole.all_levels if level.id in table.levels))
    return World(whole, truth, predicted(truth), tuple(level.id for level in derived))


def derived_from(profile: Profile, level: Level) -> LevelProfile:
    """What a level costs that the profile lacks: its steps are those of its model's first level, whole or in part."""
    like = next(one for one in profile.levels if one.holds == level.model and one.strategy != "ac")
    share = step_share() if "cq" in level.strategies else 1.0
    total, skipped = level.schedule(steps := load_family("embedded").defaults.steps, steps)
    batch = tuple(point.model_copy(update={"step_s": share * point.step_s}) for point in like.batch)
    around, run = like.encode_s + like.decode_s, total - skipped
    device_s = around + min(run * point.step_s / point.size for point in batch)
    found = {"id": level.id, "strategy": level.strategy, "steps": total, "skipped_steps": skipped, "batch": batch}
    found |= {"requests_per_minute": 60 / device_s, "latency_s": around + run * batch[0].step_s}
    return like.model_copy(update=found)


def step_share() -> float:
    """Processor time of `cq-3`'s steps over that of whole ones."""
    ways = {(way["way"], way["interval"]): way["seconds"] for way in json.loads(KEPT.read_text())["ways"]}
    return float(ways[REUSED] / ways["in full", 1])


def predicted(truth: QualityTable) -> QualityTable:
    """What routing is told of these prompts, as live; 1 of the reference."""
    predictor = shipped(family := load_family("embedded"))
    columns = {level: np.full(len(truth), min(1.0, mean)) for level, mean in truth.means.items()}
    if predictor:
        found = predictor.predict(features_of(truth.prompts)).mean
        columns |= {level: found[:, n] for n, level in enumerate(predictor.levels) if level in columns}
    columns[family.reference] = np.ones(len(truth))
    return QualityTable(truth.levels, truth.prompts, np.column_stack([columns[level] for level in truth.levels]))


def run(world: World, levels: Sequence[str], seed: int) -> dict[str, Any]:
    """The figures of one plan under one seed."""
    profile, names = world.with_levels(levels), tuple(levels)
    rate = LOAD * WORKERS * world.profile.reference.requests_per_minute / 60
    trace = Trace("steady", SECONDS, np.zeros(1), np.full(1, SECONDS), np.full(1, rate * SECONDS))
    work = workload(trace, world.truth, names, seed, predicted=world.told)
    found: dict[str, Any] = simulate(SimConfig("argus", {DEVICE: profile}, {DEVICE: WORKERS}, SLO_S), work).figures
    return found


def gain(runs: dict[str, list[dict[str, Any]]], name: str) -> dict[str, Any]:
    """A plan's figures over all seeds, and how much less it loses than `BASE`, paired, each with its 95 % interval."""
    by_seed = {key: [float(one[key]) for one in runs[name]] for key in FIGURES}
    pooled = {key: drawn(values) for key, values in by_seed.items()}
    less = 1 - pooled["quality_lost"] / drawn([float(one["quality_lost"]) for one in runs[BASE]])
    shares = {level: float(np.mean([one["levels"][level] for one in runs[name]])) for level in runs[name][0]["levels"]}
    return {
        "plan": name,
        **{key: float(figure[0]) for key, figure in pooled.items()},
        "quality_lost_interval": interval(pooled["quality_lost"]),
        **{"less": float(less[0]), "less_interval": interval(less)},
        "levels": shares,
        "by_seed": by_seed,
    }


@click.command()
@click.option("--seeds", default=12, type=click.IntRange(2), show_default=True, help="Runs of each plan.")
@click.option("--write", is_flag=True, help="Write docs/results/levels-gain.json and its part of levels.md.")
def main(seeds: int, write: bool) -> None:
    """Say what more kinds of level gain above capacity."""
    world = measured(SHIPPED / "embedded")
    runs = {name: [run(world, levels, seed) for seed in range(seeds)] for name, levels in world.plans.items()}
    found: dict[str, Any] = {
        "run": run_of("bench.levels_gain"),
        "profile": world.profile.measured,
        **{"workers": WORKERS, "load": LOAD, "seconds": SECONDS, "slo_s": SLO_S, "seeds": seeds},
        **{"prompts": len(world.truth), "derived": list(world.derived), "step_share": step_share()},
        "plans": [gain(runs, name) for name in runs],
    }
    if write:
        GAIN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        write_page()
    click.echo(json.dumps([{k: v for k, v in plan.items() if k != "by_seed"} for plan in found["plans"]], indent=1))


if __name__ == "__main__":
    main()
