"""Prompts that are worded otherwise than those the predictor learnt from, read by either encoder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.scheduler.floors import FLOORS, kept
from bench.scheduler.held_out import HeldOut, held_out, judged
from bench.scheduler.part import Part
from bench.scheduler.prompts import EMBEDDED, features_of
from bench.scheduler.setup import Setup
from bench.scheduler.tables import percent, table
from core.profiles import QualityTable, read_quality
from core.settings import Settings
from scheduler.prediction.features import Features
from scheduler.prediction.gaussian_process import DIAGONAL, Predictor, kernel
from scheduler.prediction.offsets import offset

FOREIGN = EMBEDDED.with_name("quality-wording.csv")  # prompts are named by file and line: they are not ours to ship
PARTI, DIFFUSIONDB = "parti-prompts.tsv", "diffusiondb-0001-2500.txt"
READ = 200  # prompts of each collection
FLOOR = FLOORS[1]
CARE = (0.0, Settings.model_fields["floor_z"].default)
AUDITS = 60  # drawn images that offsets are learnt from; the others judge


def wording(setup: Setup) -> dict[str, Any]:
    """How near, how sure and how careful; where images were drawn, how right."""
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
    if FOREIGN.exists():
        found["drawn"] = drawn(held_out(setup.seed).predictor, read_quality(FOREIGN), lines, rng)
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


def drawn(
    predictor: Predictor, table: QualityTable, lines: dict[str, list[str]], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Predicted against measured where prompts of these collections were drawn, by collection and level."""
    found = []
    for name, known in lines.items():
        rows = [i for i, label in enumerate(table.prompts) if label.startswith(name)]
        prompts = tuple(known[int(table.prompts[i].rpartition(":")[2]) - 1] for i in rows)
        held = judged(predictor, features_of(prompts), table.select(predictor.levels).values[rows])
        care = [kept(held, FLOOR, z) for z in CARE]
        for i, level in enumerate(held.levels):
            gaps = rng.permutation(held.measured[:, i] - held.mean[:, i])
            rest = gaps[AUDITS:] - offset(gaps[:AUDITS])
            error = 1.96 * gaps.std(ddof=1) / np.sqrt(len(gaps))
            found.append(
                {
                    **{"prompts": name, "level": level, "count": len(gaps), "measured": held.measured[:, i].mean()},
                    **{"gap": gaps.mean(), "error": error, "std": held.std[:, i].mean(), "scatter": gaps.std()},
                    **{"left": rest.mean(), "before": gaps[AUDITS:].mean(), "care": care},
                }
            )
    return [{key: float(v) if isinstance(v, np.floating) else v for key, v in row.items()} for row in found]


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
    return "\n\n".join([*lines, *([show_drawn(data["drawn"])] if "drawn" in data else [])])


def show_drawn(rows: list[dict[str, Any]]) -> str:
    cells = [
        (
            *(f"`{row['prompts']}`", f"`{row['level']}`", str(row["count"]), percent(row["measured"])),
            f"{100 * row['gap']:+.2f} ± {percent(row['error'])}",
            f"{percent(row['scatter'], 1)} ({percent(row['std'], 1)})",
            f"{100 * row['before']:+.2f} → {100 * row['left']:+.2f}",
        )
        for row in rows
    ]
    head = (
        *("prompts", "level", "drawn", "measured %", "measured − predicted, points", "scatter (deviation told)"),
        f"gap of the others, before → after {AUDITS} audits",
    )
    floors = [
        f"`{name}`: " + ", ".join(f"`floor_z` {one['z']:g}: {percent(one['kept'], 0)} %" for one in care)
        for name, care in {row["prompts"]: row["care"] for row in rows}.items()
    ]
    said = f"Of those lowered at a floor of {FLOOR:g} so many kept it: {'; '.join(floors)}."
    return f"{table(head, cells)}\n\n{said}"


PART = Part(
    wording,
    show_wording,
    "Prompts of other wording",
    "The predictor learns from prompts of a grammar; people type otherwise. A predictor fitted to four fifths of "
    "`quality-train.csv` reads the rest of it, PartiPrompts and DiffusionDB, with the embedding of the family's scorer "
    "and with MiniLM's, as families do whose scorer is large. “Nearest”: the likeness of the nearest measured prompt, "
    "1 being the same. Drawn prompts were drawn by the embedded family, one image a prompt and level, which draws such "
    "prompts badly at any level: what is compared is the predictor's word and the measured share of `exact`.",
)
