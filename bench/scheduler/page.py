"""docs/results/scheduler.md, put together from the last run of each part."""

from __future__ import annotations

import json
from typing import Any

from bench.scheduler import (
    ablation,
    backlog,
    calibration,
    floors,
    models,
    planner,
    predictor,
    published,
    scale,
    service_classes,
    shapes,
    spread,
    steady,
    validate,
    wording,
)
from bench.scheduler.part import Part
from bench.scheduler.setup import RESULTS, WORKERS

PAGE, KEPT = RESULTS / "scheduler.md", RESULTS / "scheduler.json"
PARTS: dict[str, Part] = {
    "planner": planner.PART,
    "backlog": backlog.PART,
    "scale": scale.PART,
    "predictor": predictor.PART,
    "calibration": calibration.PART,
    "floors": floors.PART,
    "wording": wording.PART,
    "validate": validate.PART,
    "steady": steady.PART,
    "twitter": shapes.TWITTER,
    "cache": shapes.CACHE,
    "gentd": shapes.GENTD,
    "day": shapes.DAY,
    "spread": spread.PART,
    "ablation": ablation.PART,
    "models": models.PART,
    "published": published.PART,
    "classes": service_classes.PART,
}


def page(kept: dict[str, Any]) -> str:
    about = kept["about"]
    lines = [
        "# Scheduler: every policy in one simulator",
        "",
        "Made by `make bench-scheduler`; reproducible by seed. "
        "**Everything but the times of planner, backlog and size is simulated.**",
        "",
        f"On {about['machine']}. Each part names the day it was last run.",
        "",
        f"{WORKERS} workers of the published profile `argus-paper-a100-sdxl.json` (SDXL on A100, unbatched), capacity "
        f"{about['capacity']:.1f} requests a minute with all at the cheapest level, target latency "
        f"{about['slo_s']:.1f} s (3 × exact). Prompts: {about['prompts']}.",
        "",
        "All policies get the same forecast, ticks (10 s) and engine. `pac` and `argus-paper` also get Argus' headroom "
        "and backlog term, and `pac` a smooth round robin. Every policy may let go of requests that cannot be in time "
        "any more, at least as generously as its paper's rule: they are served when there is room. “All queue” is the "
        "same without that, everybody served in turn (`clockwork`, `tetriserve` and `genserve` let go all the same: it "
        "is what they do). "
        "The levels are those of one model, so no policy loads weights when a worker changes level; where they are not "
        "(*Several models*), load times are those measured with the throughputs. The published ladder was measured "
        "with a cached latent for every prompt, and so it is here but for the part *with a cache that misses*; those "
        "that go by similarity (`nirvana`, `modm`, `tetriserve`, `genserve`) get bands that save the 21 % of GPU time "
        "that NIRVANA reports. "
        "Late counts late, shed and failed requests. Quality is the mean over what was served, late or not, which "
        "flatters those that queue, and over what was in time, which flatters those that shed. The bound of a run is "
        "the least that any schedule loses that is late as often.",
        "",
        "In brackets: 95 % intervals, by a bootstrap over the seeds that is paired between policies. A goal is reached "
        "where its interval clears it, not shown where the interval straddles it; parts of a single seed have none.",
    ]
    for name, part in PARTS.items():
        if name in kept:
            lines += ["", f"## {part.title}", "", f"{part.words} ({kept['days'][name]})", "", part.show(kept[name])]
            for image in part.images:
                lines += ["", f"![{part.title}](img/{image})"]
    return "\n".join(lines) + "\n"


def read_kept() -> dict[str, Any]:
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
