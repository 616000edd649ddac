"""How good the predictor is, and how good one could be."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.scheduler.part import Part
from bench.scheduler.perfect import SEEDS, seed_noise
from bench.scheduler.prompts import EMBEDDED, TRAINING, out_of_fold, told
from bench.scheduler.setup import Setup
from bench.scheduler.tables import percent, table
from core.profiles import read_quality


def predictor(setup: Setup) -> dict[str, Any]:
    """How well unseen prompts are predicted, and how much of the table is noise of seeds."""
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
    return {"levels": rows, "prompts": len(table)}


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
    return table(head, cells)


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
