"""docs/results/scheduler.md, put together from the last run of each part."""

from __future__ import annotations

import json
from typing import Any

from bench.scheduler import (
    ablation,
    backlog,
    calibration,
    floors,
    highest,
    models,
    planner,
    predictor,
    published,
    scale,
    service_classes,
    shapes,
    spread,
    steady,
    unequal,
    validate,
    wording,
)
from bench.scheduler.intervals import HOLDS
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
    "highest": highest.PART,
    "spread": spread.PART,
    "ablation": ablation.PART,
    "models": models.PART,
    "published": published.PART,
    "classes": service_classes.PART,
    "unequal": unequal.PART,
}


TAKEN_BACK = """\
What this page said and does not hold, of version 0.1 but where told otherwise:

- *Above capacity 6 and 8 times fewer late than the rivals.* They had to queue, where Argus let go of what could not
  be in time. Now everybody may: above capacity that is worth more than any policy, and who always draws at the
  cheapest level is late least.
- *Late never more often than any policy.* Not above capacity: what Argus has begun at better levels when a burst
  begins costs some requests. Told what comes (`oracle`) it comes near the best.
- *The oracle as a bound, and the share of the way to it.* It is Argus told the future, which other rules can beat.
  The bound is a linear programme now, at the lateness of the run.
- *Several models: 0.1 % late at 120 %, the rivals 5 to 7 %.* Rivals paid for loading models that fit into memory
  together.
- *Twitter's burst, of eight seeds: at 95 % 26 % less quality lost than `pac`, at 130 % late 8.84 %.* Said
  on 2026-11-26, with the forecast as it was; the table below is with the one that is, over fewer seeds
  (`--add` runs more).
- *A third of the prompts lost less at `ac-25` than at `ac-5`* in all parts of before 2026-11-28: losses of other models
  stood in for those of the ladder, prompt by prompt. They are put in order now. The embedded family has one caching
  level that tells itself from `exact` ([why](../decisions/0052-levels-of-version-three.md)), so no
  ladder of its own can be measured there.
- *The predictor's skill, a day of Twitter, ticks over a deep backlog* were figures of levels and code that are
  gone."""


OLD_FORECAST = {"5464df0", "3b7d384", "bd4bbcd", "f34cd39", "e014eb0"}  # commits at which parts ran before it
VERSION_3 = ("twitter", "ablation", "models", "published", "classes")  # ran on it before commits were noted


def page(kept: dict[str, Any]) -> str:
    about = kept["about"]
    left_out = ", ".join(f"*{part.title}*" for name, part in PARTS.items() if name not in kept)
    holds = ", ".join(f"{share:.0%} (of {seeds})".replace("%", "") for seeds, share in HOLDS.items())
    lines = [
        "# Scheduler: every policy in one simulator",
        "",
        "**All figures are simulated, but the times of planner and size, and what is said of predictions.** Made by "
        f"`python -m bench.scheduler`; reproducible by seed. On {about['machine']}. "
        "Each part names the day it was last run and the commit; since `5464df0` Argus chooses whom it lets go of, "
        "since `418446a` the forecast of all policies follows a change of demand "
        "([why](../decisions/0124-a-change-goes-on.md)).",
        *(["", f"Not run yet as the code is now: {left_out}."] if left_out else []),
        "",
        f"Where not told otherwise: {WORKERS} workers of the published profile `argus-paper-a100-sdxl.json` (SDXL on "
        f"A100, no batches, one model, a cached latent for every prompt), capacity {about['capacity']:.1f} requests a "
        f"minute at the cheapest level, target latency {about['slo_s']:.1f} s (3 × exact). "
        f"Prompts: {about['prompts']}.",
        *_earlier(kept),
        *_before_the_forecast(kept),
        "",
        "All policies get the same forecast, ticks (10 s) and engine, and may let go of requests that cannot be in "
        "time any more, which are served when there is room; “all queue” is the same without that. `pac` and "
        "`argus-paper` also get Argus' headroom and backlog term, `pac` a smooth round robin. Those that go by "
        "similarity (`nirvana`, `modm`, `tetriserve`, `genserve`) get NIRVANA's bands, which save 21 % of GPU time. "
        "Late counts late, shed and failed requests. Quality over what was served flatters those that queue, over what "
        "was in time those that let go, so both are shown. The bound of a run is the least that any schedule loses "
        "that is late as often.",
        "",
        "In brackets: 95 % intervals, by a bootstrap over the seeds that is paired between policies. A goal is reached "
        "where its interval clears it, not shown where the interval straddles it; what ran once has none. Of few seeds "
        f"intervals are too narrow: where figures scatter normally they hold the mean in {holds} of 100 cases.",
        "",
        TAKEN_BACK,
    ]
    for name, part in PARTS.items():
        if name in kept:
            lines += ["", f"## {part.title}", "", f"{part.words} ({_when(kept, name)})", "", part.show(kept[name])]
            for image in part.images:
                lines += ["", f"![{part.title}](img/{image})"]
    return "\n".join(lines) + "\n"


def _earlier(kept: dict[str, Any]) -> list[str]:
    """Which parts ran on qualities that are gone."""
    those = [f"*{PARTS[name].title}*" for name in VERSION_3 if name not in kept.get("commits", {})]
    if not those:
        return []
    words = "ran on the qualities of the embedded family's version 3, its predictor trained on 7602 prompts"
    return ["", f"{', '.join(those)} {words}; all else is of version 4."]


def _before_the_forecast(kept: dict[str, Any]) -> list[str]:
    """Which parts ran before the forecast followed changes of demand."""
    commits = kept.get("commits", {})
    those = [f"*{part.title}*" for name, part in PARTS.items() if commits.get(name) in OLD_FORECAST and name in kept]
    return ["", f"With the forecast as it was before: {', '.join(those)}."] if those else []


def _when(kept: dict[str, Any], name: str) -> str:
    """The day on which a part was run, and of which code."""
    commit = kept.get("commits", {}).get(name)
    return f"{kept['days'][name]}, {f'at {commit}' if commit else 'before commits were noted'}"


def read_kept() -> dict[str, Any]:
    return json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
