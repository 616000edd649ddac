"""How good the predictor is, how good one could be, and what a perfect one would gain."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from bench.scheduler.part import Part
from bench.scheduler.prompts import EMBEDDED, TRAINING, out_of_fold, rescaled, told
from bench.scheduler.setup import NOISE, Setup
from bench.scheduler.steady import LOADS, history, published_pac, steady_trace
from bench.scheduler.tables import percent, table
from core.profiles import QualityTable, read_quality
from scheduler.simulate import workload

SEEDS = EMBEDDED.with_name("quality-seeds.npz")  # every score behind the table: by level, prompts × seeds


def predictor(setup: Setup) -> dict[str, Any]:
    """How well unseen prompts are predicted, how much of the table is noise of seeds, what a perfect one reaches."""
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
        f"{table(head, cells)}\n\nSteady load, way from PAC to the oracle, had the predictor known of each prompt what "
        f"it scores on average (simulated):\n\n{table(('load %', 'way %'), ways)}"
    )


PART = Part(
    predictor,
    show_predictor,
    "Predictor",
    "On the measured table of the embedded family, each prompt predicted by a predictor that was not trained on it but "
    "on `quality-train.csv`, other prompts with one seed each (without that file: on the other folds). Skill is the "
    "share of the variance over prompts that is predicted. What a prompt scores differs from seed to seed; the table "
    "has means over a few seeds, and what is left of that noise nobody can predict from the prompt: “most there can "
    "be” is one minus its share, from the scatter over seeds.",
)
