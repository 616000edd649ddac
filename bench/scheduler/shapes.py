"""All policies over recorded shapes at several peaks: Twitter's hour, GenTD26, a day of Twitter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.scheduler.part import Part
from bench.scheduler.pooling import pooled
from bench.scheduler.setup import IMAGES, Setup
from bench.scheduler.tables import Goal, goal, goals, percent, show_both, show_policies, times
from scheduler.policies import NAMES
from scheduler.simulate.report import plot
from traces.reader import Trace

Figures = dict[str, Any]  # of a policy, by the names of `Report.figures`
SHOWN = ("clipper-ha", "clipper-ht", "sommelier", "pac", "argus-paper", "argus")


def shape(
    setup: Setup, name: str, trace: Trace, seeds: Sequence[int], peaks: Iterable[float] = (0.95, 1.3)
) -> dict[str, Any]:
    """All policies over one shape at several peaks, pooled over seeds; plots of the first seed.

    Each runs twice: letting go of what can no longer be in time, and (`queueing`) serving everybody in turn.
    """
    found: dict[str, Any] = {}
    for peak in peaks:
        scaled = trace.scaled_to(peak * setup.capacity)
        works = [setup.work(scaled, seed) for seed in seeds]
        reports, queueing = (
            {policy: [setup.run(policy, work, admission_control=lets_go) for work in works] for policy in NAMES}
            for lets_go in (True, False)
        )
        title = f"{trace.name}, peak minute at {peak:.0%} of capacity"
        shown = [reports[policy][0] for policy in SHOWN]
        plot(shown, IMAGES / f"scheduler-{name}-{peak * 100:.0f}.png", title, setup.capacity)
        found[f"{peak:g}"] = {
            "policies": {policy: pooled(runs) for policy, runs in reports.items()},
            "queueing": {policy: pooled(runs) for policy, runs in queueing.items()},
        }
        if setup.any_hit:
            least = [setup.least(work) for work in works]
            found[f"{peak:g}"]["bound"] = {key: float(np.mean([b[key] for b in least])) for key in least[0]}
    return found


def twitter(setup: Setup) -> dict[str, Any]:
    return shape(setup, "twitter", setup.trace("twitter-burst-hour"), (1, 2, 3))


def cache(setup: Setup) -> dict[str, Any]:
    """Twitter's hour where a level that starts from a cached latent needs one that is near enough."""
    return shape(replace(setup, any_hit=False), "cache", setup.trace("twitter-burst-hour"), (1,))


def gentd(setup: Setup) -> dict[str, Any]:
    return shape(setup, "gentd", setup.trace("gentd26-cluster-qps-first-half").window(10_800, 10_800), (1,))


def day(setup: Setup) -> dict[str, Any]:
    """A whole day of Twitter: how long it takes to simulate, and what the slow shape does to the comparison."""
    scaled = setup.trace("twitter-days-01-07").window(0, 86_400).scaled_to(0.95 * setup.capacity)
    work = setup.work(scaled, setup.seed)
    reports = [setup.run(policy, work, tick_s=30.0) for policy in ("clipper-ha", "clipper-ht", "pac", "argus")]
    plot(reports, IMAGES / "scheduler-day.png", "twitter-days-01-07, first day, peak minute at 95%", setup.capacity)
    return {r.policy: pooled([r]) for r in reports}


def show_shape(data: dict[str, Any], less_than_pac: float) -> str:
    under, over = data["0.95"]["policies"], data["1.3"]["policies"]
    return "\n\n".join(
        [
            "Peak minute at 95 % of capacity:",
            show_both(data["0.95"]),
            goals(under_goals(under, less_than_pac, data["0.95"]["bound"])),
            "Peak minute at 130 % of capacity:",
            show_both(data["1.3"]),
            goals(over_goals(over)),
        ]
    )


def show_cache(data: dict[str, Any]) -> str:
    return "\n\n".join(f"Peak minute at {float(peak):.0%} of capacity:\n\n{show_both(data[peak])}" for peak in data)


def under_goals(policies: dict[str, Figures], less_than_pac: float, least: dict[str, float]) -> list[Goal]:
    mine = policies["argus"]
    rivals = [policies[name] for name in ("clipper-ha", "nirvana", "sommelier")]
    others = [f for name, f in policies.items() if name not in ("argus", "oracle")]
    return [
        *_violation_goals(mine, rivals, others),
        *_goodput_goals(mine, rivals, others),
        *_quality_goals(policies, less_than_pac, least),
    ]


def _violation_goals(mine: Figures, rivals: Sequence[Figures], others: Sequence[Figures]) -> list[Goal]:
    rate = mine["violation_rate"]
    fewest, never_more = (min(f["violation_rate"] for f in them) for them in (rivals, others))
    return [
        goal("violations ≤ 0.1 %", rate <= 0.001, f"{percent(rate, 3)} %"),
        goal("≥ 10× fewer than `clipper-ha`, `nirvana`, `sommelier`", fewest >= 10 * rate, times(fewest, rate)),
        goal("never more than any policy", rate <= never_more, f"fewest of others {percent(never_more, 3)} %"),
    ]


def _goodput_goals(mine: Figures, rivals: Sequence[Figures], others: Sequence[Figures]) -> list[Goal]:
    goodput, in_burst = mine["goodput_per_minute"], mine["burst_per_minute"]
    most, burst = (max(f[key] for f in rivals) for key in ("goodput_per_minute", "burst_per_minute"))
    most_of_others = max(f["goodput_per_minute"] for f in others)
    offered = goodput / (1 - mine["violation_rate"])
    gain, bound, burst_gain = goodput / most - 1, offered / most - 1, in_burst / burst - 1
    return [
        goal(
            "goodput ≥ 40 % above those three",
            goodput >= 1.4 * most,
            f"+{percent(gain, 0)} % (bound: all in time, +{percent(bound, 0)} %)",
        ),
        goal(
            "the same in minutes above the exact capacity",
            in_burst >= 1.4 * burst,
            f"+{percent(burst_gain, 0)} %",
        ),
        goal(
            "goodput never below any policy",
            goodput >= most_of_others - 1e-9,
            f"{goodput:.2f} against {most_of_others:.2f}",
        ),
    ]


def _quality_goals(policies: dict[str, Figures], less_than_pac: float, least: dict[str, float]) -> list[Goal]:
    lost = {name: figures["quality_lost"] for name, figures in policies.items()}
    pac, cheapest = (1 - lost["argus"] / lost[name] for name in ("pac", "clipper-ht"))
    possible = 1 - least["quality_lost"] / lost["pac"]
    return [
        goal(
            f"quality lost ≥ {less_than_pac:.0%} less than `pac`",
            pac >= less_than_pac,
            f"{percent(pac, 0)} % less (bound {percent(possible, 0)} %)",
        ),
        goal("quality lost ≥ 60 % less than `clipper-ht`", cheapest >= 0.6, f"{percent(cheapest, 0)} % less"),
    ]


def over_goals(policies: dict[str, Figures]) -> list[Goal]:
    mine = policies["argus"]["violation_rate"]
    oracle = policies["oracle"]["violation_rate"]
    rivals = min(f["violation_rate"] for name, f in policies.items() if name not in ("argus", "oracle"))
    return [
        goal(
            "violations ≤ 1.1 × `oracle`'s",
            mine <= 1.1 * oracle,
            f"{mine / oracle:.2f}×" if oracle else "oracle has none",
        ),
        goal("never more than any policy", mine <= rivals, f"fewest of others {percent(rivals)} %"),
    ]


def show_day(data: dict[str, Any]) -> str:
    slowest = max(f["seconds"] for f in data.values())
    return f"{show_policies({'policies': data})}\n\n" + goals(
        [goal("a day simulates in under 60 s a policy (CPU)", slowest < 60, f"{slowest:.0f} s the slowest")]
    )


TWITTER = Part(
    twitter,
    lambda data: show_shape(data, 0.25),
    "Twitter, its burstiest hour",
    "`twitter-burst-hour.csv`, three seeds.",
    ("scheduler-twitter-95.png", "scheduler-twitter-130.png"),
)
GENTD = Part(
    gentd,
    lambda data: show_shape(data, 0.30),
    "GenTD26, a production text-to-image cluster",
    "`gentd26-cluster-qps-first-half.csv`, hours 3 to 6.",
    ("scheduler-gentd-95.png", "scheduler-gentd-130.png"),
)
CACHE = Part(
    cache,
    show_cache,
    "Twitter, its burstiest hour, with a cache that misses",
    "The same policies and prompts, one seed, where a request starts from a cached latent only if one is near enough, "
    "as live. Similarities are NIRVANA's bands, with shares that save the 21 % of GPU time it reports. Capacity is what"
    " misses leave of it, 145 requests a minute (docs/decisions/0053).",
    ("scheduler-cache-95.png", "scheduler-cache-130.png"),
)
DAY = Part(
    day, show_day, "Twitter, a day", "First day of `twitter-days-01-07.csv`, peak at 95 %.", ("scheduler-day.png",)
)
