"""Whether what is predicted is, on average, what is measured: a level at a time, and what audits mend."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.scheduler.held_out import held_out
from bench.scheduler.part import Part
from bench.scheduler.setup import Setup
from bench.scheduler.tables import goal, goals, percent, table
from scheduler.prediction.offsets import offset

REQUESTS, WITHIN = 500, 0.005  # the mean over so many is to be so near
DRAWS = 2000
BIAS, AUDITS = -0.02, (0, 25, 100, 400)


def calibration(setup: Setup) -> dict[str, Any]:
    """Gaps between measured and predicted quality on prompts held out, and what is left of one that was put there."""
    held, rng = held_out(setup.seed), np.random.default_rng(setup.seed)
    levels = []
    for i, level in enumerate(held.levels):
        gaps = held.measured[:, i] - held.mean[:, i]
        thirds = np.array_split(gaps[np.argsort(held.mean[:, i])], 3)
        levels.append(
            {
                **{"level": level, "predicted": float(held.mean[:, i].mean()), "gap": float(gaps.mean())},
                "error": float(1.96 * gaps.std(ddof=1) / np.sqrt(len(gaps))),
                "thirds": [float(some.mean()) for some in thirds],
                "within": within(gaps, rng),
                "possible": within(gaps - gaps.mean(), rng),
                "left": [left_over(gaps - gaps.mean() + BIAS, audits, rng) for audits in AUDITS],
                "added": [left_over(gaps - gaps.mean(), audits, rng) for audits in AUDITS],
            }
        )
    return {"prompts": len(held.mean), "levels": levels}


def within(gaps: np.ndarray, rng: np.random.Generator) -> float:
    """Share of draws of `REQUESTS` whose mean gap is at most `WITHIN`."""
    means = rng.choice(gaps, (DRAWS, REQUESTS)).mean(axis=1)
    return float((np.abs(means) <= WITHIN).mean())


def left_over(gaps: np.ndarray, audits: int, rng: np.random.Generator) -> float:
    """Root mean square of the bias that is left when so many audits have been seen."""
    found = np.array([offset(rng.choice(gaps, audits)) if audits else 0.0 for _ in range(DRAWS // 4)])
    return float(np.sqrt(np.mean((gaps.mean() - found) ** 2)))


def show_calibration(data: dict[str, Any]) -> str:
    cells = [
        (
            f"`{row['level']}`",
            percent(row["predicted"]),
            f"{100 * row['gap']:+.2f} ± {percent(row['error'])}",
            ", ".join(f"{100 * gap:+.2f}" for gap in row["thirds"]),
            f"{percent(row['within'], 0)} ({percent(row['possible'], 0)})",
        )
        for row in data["levels"]
    ]
    head = (
        *("level", "predicted %", "measured − predicted, points", "by thirds of the prediction, low to high"),
        f"{REQUESTS} requests within 0.5 points, % of draws (without any bias)",
    )
    kept = [
        (f"`{row['level']}`, {words}", *(percent(left) for left in row[key]))
        for row in data["levels"]
        for words, key in ((f"{100 * BIAS:+.0f} points", "left"), ("none", "added"))
    ]
    worst = max(abs(row["gap"]) for row in data["levels"])
    said = goal(
        "mean predicted within 0.5 points of measured, each level", worst <= WITHIN, f"{100 * worst:.2f} points"
    )
    lines = [
        f"{data['prompts']} prompts.",
        table(head, cells),
        "A bias that is not in the table, such as of other wording, is mended by offsets from audits: root mean square "
        "of the bias that is left, in points, after so many audits of the level.",
        table(("level, bias put there", *(f"{audits} audits" for audits in AUDITS)), kept),
        goals([said]),
    ]
    return "\n\n".join(lines)


PART = Part(
    calibration,
    show_calibration,
    "Calibration",
    "Mean predicted against mean measured quality on a fifth of `quality-train.csv`, one image a prompt, by a "
    "predictor fitted to the rest. Images scatter, so that even without bias some means over 500 are off; the last "
    "column says how many.",
)
