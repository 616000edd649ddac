"""All policies over recorded shapes at several peaks: Twitter's burst, GenTD26, a day of Twitter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.scheduler.bounds import bounds
from bench.scheduler.intervals import figure, shown
from bench.scheduler.parallel import over_seeds
from bench.scheduler.part import Part
from bench.scheduler.pooling import pooled
from bench.scheduler.setup import IMAGES, Setup
from bench.scheduler.tables import AGAIN, Goal, goal, goals, show_both, show_policies, shown_goal, times
from scheduler.policies import NAMES
from scheduler.simulate import Report
from scheduler.simulate.report import plot
from traces.reader import Trace

Figures = dict[str, Any]  # of a policy, by the names of `Report.figures`
SHOWN = ("clipper-ha", "clipper-ht", "sommelier", "pac", "argus-paper", "argus")
BOUNDED = ("pac", "argus", "oracle")  # beside the bound that is late as often
CONTENDERS = ("clipper-ha", "clipper-ht", "pac", "argus-paper", "argus", "oracle")  # run over all seeds


def shape(setup: Setup, name: str, trace: Trace, peaks: Iterable[float] = (0.95, 1.3)) -> dict[str, Any]:
    """All policies over one shape at several peaks, pooled over seeds; plots of `setup.seed`.

    Each lets go of what can no longer be in time: `CONTENDERS` over all seeds, the others under `setup.seed`, with
    which all run once more serving everybody in turn (`queueing`).
    """
    found: dict[str, Any] = {"seeds": list(setup.seeds)}
    for peak in peaks:
        scaled = trace.scaled_to(peak * setup.capacity)
        reports = contest(setup, scaled)
        queueing = over_seeds(setup, NAMES, scaled, setup.once, admission_control=False)
        if setup.once:
            first = setup.seeds.index(setup.seed)
            image, title = (
                f"scheduler-{name}-{peak * 100:.0f}.png",
                f"{trace.name}, peak minute at {peak:.0%} of capacity",
            )
            plot([reports[p][first] for p in SHOWN], IMAGES / image, title, setup.capacity)
        found[f"{peak:g}"] = {
            "policies": {policy: pooled(runs) for policy, runs in reports.items()},
            "queueing": {policy: pooled(runs) for policy, runs in queueing.items()},
        }
        if setup.any_hit:
            found[f"{peak:g}"]["bound"] = bounds(setup, scaled, setup.seeds, {p: reports[p] for p in BOUNDED})
    return found


def contest(setup: Setup, trace: Trace) -> dict[str, list[Report]]:
    """All policies letting go, in their usual order."""
    others = [name for name in NAMES if name not in CONTENDERS]
    runs = {**over_seeds(setup, CONTENDERS, trace, setup.seeds), **over_seeds(setup, others, trace, setup.once)}
    return {name: runs[name] for name in NAMES if name in runs}


def twitter(setup: Setup) -> dict[str, Any]:
    return shape(setup, "twitter", setup.burst)


def cache(setup: Setup) -> dict[str, Any]:
    """Twitter's burst where a level that starts from a cached latent needs one that is near enough."""
    return shape(replace(setup, any_hit=False), "cache", setup.burst)


def gentd(setup: Setup) -> dict[str, Any]:
    return shape(setup, "gentd", setup.trace("gentd26-cluster-qps-first-half").window(18_900, 900))


def day(setup: Setup) -> dict[str, Any]:
    """A whole day of Twitter: how long it takes to simulate, and what the slow shape does to the comparison."""
    scaled = setup.trace("twitter-days-01-07").window(0, 86_400).scaled_to(0.95 * setup.capacity)
    work = setup.work(scaled, setup.seed)
    reports = [setup.run(policy, work, tick_s=30.0) for policy in ("clipper-ha", "clipper-ht", "pac", "argus")]
    plot(reports, IMAGES / "scheduler-day.png", "twitter-days-01-07, first day, peak minute at 95%", setup.capacity)
    return {r.policy: pooled([r]) for r in reports}


def show_shape(data: dict[str, Any], less_than_pac: float) -> str:
    if "seeds" not in data:
        return AGAIN
    under, over = data["0.95"], data["1.3"]
    return "\n\n".join(
        [
            seeds_run(data),
            "Peak minute at 95 % of capacity:",
            show_both(under),
            goals(under_goals(under["policies"], less_than_pac, under["bound"])),
            "Peak minute at 130 % of capacity:",
            show_both(over),
            goals([*over_goals(over["policies"], over["bound"]), *_lost_goals(over, less_than_pac)]),
        ]
    )


def show_cache(data: dict[str, Any]) -> str:
    if "seeds" not in data:
        return AGAIN
    peaks = [peak for peak in data if peak != "seeds"]
    shown_peaks = (f"Peak minute at {float(peak):.0%} of capacity:\n\n{show_both(data[peak])}" for peak in peaks)
    return "\n\n".join([seeds_run(data), *shown_peaks])


def seeds_run(data: dict[str, Any]) -> str:
    return (
        f"Seeds run: {len(data['seeds'])}; of policies without intervals, and all that queue, the first. "
        "Goals compare those that ran over all."
    )


def under_goals(policies: dict[str, Figures], less_than_pac: float, least: dict[str, Figures]) -> list[Goal]:
    mine = policies["argus"]
    rivals = [policies[name] for name in ("clipper-ha", "nirvana", "sommelier")]
    others = [f for name, f in policies.items() if name not in ("argus", "oracle")]
    return [
        *_violation_goals(mine, rivals, others),
        *_goodput_goals(mine, rivals, others),
        *_lost_goals({"policies": policies, "bound": least}, less_than_pac),
    ]


def _violation_goals(mine: Figures, rivals: Sequence[Figures], others: Sequence[Figures]) -> list[Goal]:
    rate = figure(mine, "violation_rate")
    fewest, never_more = (_of(np.minimum, them, "violation_rate") for them in (rivals, others))
    return [
        shown_goal("violations ≤ 0.1 %", 0.001 - rate, f"{shown(rate, 3)} %"),
        shown_goal("≥ 10× fewer than `clipper-ha`, `nirvana`, `sommelier`", fewest - 10 * rate, times(fewest, rate)),
        shown_goal("never more than any policy", never_more - rate, f"fewest of others {shown(never_more, 3)} %"),
    ]


def _goodput_goals(mine: Figures, rivals: Sequence[Figures], others: Sequence[Figures]) -> list[Goal]:
    goodput, in_burst = figure(mine, "goodput_per_minute"), figure(mine, "burst_per_minute")
    most, burst = (_of(np.maximum, rivals, key) for key in ("goodput_per_minute", "burst_per_minute"))
    most_of_others = _of(np.maximum, others, "goodput_per_minute")
    offered = goodput / (1 - figure(mine, "violation_rate"))
    gain, bound, burst_gain = goodput / most - 1, offered / most - 1, in_burst / np.maximum(burst, 1e-12) - 1
    return [
        shown_goal(
            "goodput ≥ 40 % above those three",
            goodput - 1.4 * most,
            f"+{shown(gain, 0)} % (bound: all in time, +{shown(bound, 0)} %)",
        ),
        shown_goal(
            "the same in minutes above the exact capacity", in_burst - 1.4 * burst, f"+{shown(burst_gain, 0)} %"
        ),
        shown_goal(
            "goodput never below any policy",
            goodput - most_of_others,
            f"{shown(goodput, 2, 1)} against {shown(most_of_others, 2, 1)}",
        ),
    ]


def _lost_goals(data: dict[str, Any], less_than_pac: float) -> list[Goal]:
    """Quality lost in what was in time, beside the least that a schedule as late as `argus` must lose."""
    policies = data["policies"]
    mine, pac, cheapest = (figure(policies[name], "lost_in_time") for name in ("argus", "pac", "clipper-ht"))
    least = figure(data["bound"]["argus"], "lost_in_time")
    return [
        shown_goal(
            f"quality lost ≥ {less_than_pac:.0%} less than `pac`",
            (1 - less_than_pac) * pac - mine,
            f"{shown(1 - mine / pac, 0)} % less (bound at equal lateness {shown(1 - least / pac, 0)} %)",
        ),
        shown_goal(
            "quality lost ≥ 60 % less than `clipper-ht`",
            0.4 * cheapest - mine,
            f"{shown(1 - mine / cheapest, 0)} % less",
        ),
    ]


def over_goals(policies: dict[str, Figures], least: dict[str, Figures]) -> list[Goal]:
    mine, fewest = figure(policies["argus"], "violation_rate"), figure(least[""], "violation_rate")
    rivals = _of(np.minimum, [f for name, f in policies.items() if name not in ("argus", "oracle")], "violation_rate")
    return [
        shown_goal(
            "late ≤ 1.1 × the fewest that any schedule can be",
            1.1 * fewest - mine,
            f"{shown(mine / np.maximum(fewest, 1e-12), 2, 1)}×" if fewest[0] else "none need be late",
        ),
        shown_goal("never more than any policy", rivals - mine, f"fewest of others {shown(rivals)} %"),
    ]


def _of(extreme: np.ufunc, policies: Sequence[Figures], key: str) -> np.ndarray:
    """The least or most of these policies, in each draw: of those that ran over all seeds, where any did."""
    most = max(map(_seeds, policies))
    paired = [f for f in policies if _seeds(f) == most]
    found: np.ndarray = extreme.reduce([figure(f, key) for f in paired])
    return found


def _seeds(figures: Figures) -> int:
    return len(figures["by_seed"]["requests"]) if "by_seed" in figures else 1


def show_day(data: dict[str, Any]) -> str:
    slowest = max(f["seconds"] for f in data.values())
    return f"{show_policies({'policies': data})}\n\n" + goals(
        [goal("a day simulates in under 60 s a policy (CPU)", slowest < 60, f"{slowest:.0f} s the slowest")]
    )


TWITTER = Part(
    twitter,
    lambda data: show_shape(data, 0.25),
    "Twitter, a burst",
    "`twitter-burst-hour.csv`, the quarter of an hour around its burst; outside of it the load is a fifth of the peak.",
    ("scheduler-twitter-95.png", "scheduler-twitter-130.png"),
)
GENTD = Part(
    gentd,
    lambda data: show_shape(data, 0.30),
    "GenTD26, a production text-to-image cluster",
    "`gentd26-cluster-qps-first-half.csv`, the quarter of an hour around its peak.",
    ("scheduler-gentd-95.png", "scheduler-gentd-130.png"),
)
CACHE = Part(
    cache,
    show_cache,
    "Twitter, a burst, with a cache that misses",
    "The same policies and prompts, where a request starts from a cached latent only if one is near enough, "
    "as live. Similarities are NIRVANA's bands, with shares that save the 21 % of GPU time it reports. Capacity is what"
    " misses leave of it, 145 requests a minute (docs/decisions/0053).",
    ("scheduler-cache-95.png", "scheduler-cache-130.png"),
)
DAY = Part(
    day, show_day, "Twitter, a day", "First day of `twitter-days-01-07.csv`, peak at 95 %.", ("scheduler-day.png",)
)
