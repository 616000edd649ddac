"""Floors: how often an image keeps its request's floor, by how sure of it routing has to be."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.scheduler.held_out import HeldOut, held_out
from bench.scheduler.part import Part
from bench.scheduler.setup import Setup
from bench.scheduler.tables import goal, goals, percent, table
from core.profiles import read_profile
from core.settings import ROOT, Settings
from scheduler.prediction.predictions import lower_bounds

FLOORS, CARE = (0.9, 0.95, 0.97, 0.98), (0.0, 0.5, 1.0, 1.28, 1.64)  # CARE: `floor_z`
KEPT = 0.9
FEWEST = 30  # lowered prompts that a share is worth giving of
PROFILE = ROOT / "profiles" / "embedded" / "cpu.json"


def floors(setup: Setup) -> dict[str, Any]:
    """Every held-out prompt at every floor: the cheapest level that reaches it, and whether its image did."""
    held = held_out(setup.seed)
    rows = [kept(held, floor, z) for z in CARE for floor in FLOORS]
    return {"prompts": len(held.mean), "rows": rows, "default": Settings.model_fields["floor_z"].default}


def kept(held: HeldOut, floor: float, z: float) -> dict[str, float]:
    """Of prompts with this floor: the share that is lowered under pressure, and of these the share that keeps it."""
    speed = read_profile(PROFILE)
    fastest = sorted(range(len(held.levels)), key=lambda i: -speed.level(held.levels[i]).requests_per_minute)
    asked = np.full(len(held.mean), floor)
    reached = (lower_bounds(held.mean, held.std, asked, z) >= floor)[:, fastest]
    lowered, choice = reached.any(axis=1), np.argmax(reached, axis=1)
    images = held.measured[:, fastest][np.arange(len(choice)), choice][lowered]
    return {
        **{"z": z, "floor": floor, "lowered": float(lowered.mean()), "images": len(images)},
        "kept": float((images >= floor).mean()) if len(images) else 1.0,
    }


def show_floors(data: dict[str, Any]) -> str:
    cells = []
    for z in dict.fromkeys(row["z"] for row in data["rows"]):
        mine = [row for row in data["rows"] if row["z"] == z]
        cells.append((f"{z:g}" + (" (default)" if z == data["default"] else ""), *map(_cell, mine)))
    head = ("`floor_z`", *(f"floor {floor:g}: kept % (lowered %)" for floor in FLOORS))
    at_default = [row for row in data["rows"] if row["z"] == data["default"]]
    least = min(1 - row["lowered"] * (1 - row["kept"]) for row in at_default)  # at `exact` everyone keeps it
    said = goal("at the default 90 % of the requests keep their floor, whichever it is", least >= KEPT, percent(least))
    return f"{data['prompts']} prompts.\n\n{table(head, cells)}\n\n{goals([said])}"


def _cell(row: dict[str, float]) -> str:
    share = percent(row["kept"]) if row["images"] >= FEWEST else "–"
    return f"{share} ({percent(row['lowered'], 0)})"


PART = Part(
    floors,
    show_floors,
    "Floors",
    "Requests with a `min_quality` while all would be lowered that may be: each gets the fastest level whose predicted "
    "quality less `floor_z` standard deviations reaches its floor, `exact` where none does. Measured on a fifth of "
    "`quality-train.csv`, one image a prompt, by a predictor fitted to the rest. “Kept”: the share of lowered "
    f"requests whose image kept the floor (– under {FEWEST} of them); at `exact` everyone does. Images scatter over "
    "seeds and not as a normal distribution, so the shares are read off here, not off a table of it.",
)
