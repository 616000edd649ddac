"""Prompts that are worded otherwise than those the predictor learnt from, read by either encoder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.scheduler.floors import FLOORS, kept
from bench.scheduler.held_out import HeldOut, held_out, judged
from bench.scheduler.part import Part
from bench.scheduler.prompts import features_of
from bench.scheduler.setup import Setup
from bench.scheduler.tables import goal, goals, percent, table
from core.settings import Settings
from scheduler.prediction.features import Features
from scheduler.prediction.gaussian_process import DIAGONAL, Predictor, kernel

PARTI, DIFFUSIONDB = "parti-prompts.tsv", "diffusiondb-0001-2500.txt"
READ = 200  # prompts of each collection
FLOOR = FLOORS[1]
CARE = (0.0, Settings.model_fields["floor_z"].default)


def wording(setup: Setup) -> dict[str, Any]:
    """How near, how sure and how careful."""
    lines = {name: collection(setup.shared / "prompts" / name) for name in (PARTI, DIFFUSIONDB)}
    rng = np.random.default_rng(setup.seed)
    some = {name: rng.permutation(list(dict.fromkeys(known)))[:READ].tolist() for name, known in lines.items()}
    found: dict[str, Any] = {"read": [], "skill": {}}
    for reader, features in (("the scorer's reading", features_of), ("MiniLM", sentences)):
        held = held_out(setup.seed, features)
        found["skill"][reader] = skill(held)
        sets = {"as learnt from": held.features[:READ]} | {name: features(tuple(some[name])) for name in some}
        for name, rows in sets.items():
            found["read"].append({"reader": reader, "prompts": name, **described(held.predictor, rows)})
    return found


def collection(path: Path) -> list[str]:
    """The prompts of a file, by line; the header of a table is one of them."""
    return [line.split("\t")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]


@lru_cache(maxsize=8)
def sentences(prompts: tuple[str, ...]) -> np.ndarray:
    """Features with MiniLM's embedding, as families have them whose scorer is large."""
    return Features()(prompts)


def skill(held: HeldOut) -> dict[str, float]:
    """Share of the variance over held-out prompts that is predicted, by level."""
    errors = ((held.mean - held.measured) ** 2).mean(axis=0) / held.measured.var(axis=0)
    return dict(zip(held.levels, (1 - errors).tolist(), strict=True))


def described(predictor: Predictor, features: np.ndarray) -> dict[str, Any]:
    """How near the nearest measured prompt is (1: the same), how large the deviation, who is lowered at a floor."""
    held = judged(predictor, features, np.ones((len(features), len(predictor.levels))))
    near = kernel(features.astype(predictor.features.dtype), predictor.features).max(axis=1) / DIAGONAL
    return {
        "near": float(np.median(near)),
        "std": dict(zip(held.levels, held.std.mean(axis=0).tolist(), strict=True)),
        "lowered": [kept(held, FLOOR, z)["lowered"] for z in CARE],
    }


def show_wording(data: dict[str, Any]) -> str:
    levels = list(next(iter(data["skill"].values())))
    read = [
        (
            *(row["reader"], f"`{row['prompts']}`", f"{row['near']:.2f}"),
            *(percent(row["std"][level], 1) for level in levels),
            *(percent(share, 0) for share in row["lowered"]),
        )
        for row in data["read"]
    ]
    head = ("read by", "prompts", "nearest (median)", *(f"deviation at `{level}`, points" for level in levels))
    skills = [
        f"{reader}: {', '.join(f'{percent(r2, 0)} at `{level}`' for level, r2 in known.items())}"
        for reader, known in data["skill"].items()
    ]
    lines = [
        f"Skill R² % on held-out prompts of the grammar, by {'; by '.join(skills)}.",
        table((*head, *(f"lowered at floor {FLOOR:g}, `floor_z` {z:g}, %" for z in CARE)), read),
    ]
    careful = [least(data, reader) for reader in data["skill"]]
    said = goal(
        f"the farther a collection, the fewer are lowered at floor {FLOOR:g}, by either reading",
        all(far < near for near, far in careful),
        "; ".join(f"{percent(near, 1)} → {percent(far, 1)} %" for near, far in careful),
    )
    return "\n\n".join([*lines, goals([said])])


def least(data: dict[str, Any], reader: str) -> tuple[float, float]:
    """Shares lowered at the default `floor_z`: of prompts of the grammar, and of the collection that is farthest."""
    mine = sorted((row for row in data["read"] if row["reader"] == reader), key=lambda row: -row["near"])
    return mine[0]["lowered"][-1], mine[-1]["lowered"][-1]


PART = Part(
    wording,
    show_wording,
    "Prompts of other wording",
    "The predictor learns from prompts of a grammar; people type otherwise. A predictor fitted to four fifths of "
    "`quality-train.csv` reads the rest of it, PartiPrompts and DiffusionDB, with the embedding of the family's scorer "
    "and with MiniLM's, as families do whose scorer is large. “Nearest”: the likeness of the nearest measured prompt, "
    "1 being the same. No image of these prompts was measured: this says how sure the predictor is, not how right.",
)
