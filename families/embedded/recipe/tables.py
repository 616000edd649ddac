"""The predictor's training table from a run's scores: relative quality of the fresh prompts at every level that was
drawn.

    python -m families.embedded.recipe.tables made/scores profiles/embedded

writes `quality-train.csv` and, with every score, `quality-train-seeds.npz`; `argus evaluate --train` measures the
same by the engine, level by level. Levels of approximate caching have no column: what they keep depends on what the
cache offers. Nor have those that reuse deep features: the recipe does not draw so.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

from core.families import Family, load_family
from core.levels import Level
from families.embedded.recipe.draw import Way
from families.embedded.recipe.evaluate import CEILING, FLOOR, WAYS

GUIDED = ("large", "dit")
HALF = "embedded-half"  # the pipeline that draws at half the size


def way_of(family: Family, level: Level, guided: bool) -> str | None:
    """The way of drawing that is this level, None where it was not drawn."""
    steps, skipped = level.schedule(family.defaults.steps, family.defaults.steps)
    guidance = (family.defaults.guidance if level.guidance is None else level.guidance) if guided else 1.0
    model = family.models[level.model]
    wanted = Way(Path(model.location).name, steps, guidance, model.pipeline == HALF)
    whole = not skipped and not level.varies
    return next((name for name, way in WAYS.items() if way == wanted and whole), None)


def columns_of(family: Family, ways: list[str]) -> dict[str, int]:
    """Level → column of the scores."""
    found = {level.id: way_of(family, level, level.model in GUIDED) for level in family.levels.values()}
    return {level: ways.index(way) for level, way in found.items() if way in ways}


def write(scores: Path, into: Path, family: Family) -> int:
    """Write both files; answers how many prompts they have. Prompts that were not scored are left out."""
    with np.load(scores / "scores.npz") as found:
        columns, every = columns_of(family, found["ways"].tolist()), found["fresh"].astype(np.float32)
    done = np.isfinite(every).all((1, 2))
    prompts = np.array((scores / "fresh.txt").read_text().splitlines())[done].tolist()
    drawn = {level: every[done][:, :, column] for level, column in columns.items()}
    reference = np.maximum(drawn[family.reference].mean(1), FLOOR)
    quality = {level: np.minimum(values.mean(1) / reference, CEILING) for level, values in drawn.items()}
    quality[family.reference] = np.ones(len(prompts))
    with (into / "quality-train.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["prompt", *quality])
        writer.writerows(
            [prompt, *(f"{values[row]:.4f}" for values in quality.values())] for row, prompt in enumerate(prompts)
        )
    half = {level: values.astype(np.float16) for level, values in drawn.items()}
    np.savez_compressed(into / "quality-train-seeds.npz", **half)
    return len(prompts)


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), Path(sys.argv[2]), load_family("embedded")), "prompts")
