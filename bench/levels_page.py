"""`docs/results/levels.md`, from what `bench.levels` and `bench.levels_gain` wrote last."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from core.settings import ROOT

RESULTS = ROOT / "docs/results"
KEPT, GAIN, PAGE = RESULTS / "levels.json", RESULTS / "levels-gain.json", RESULTS / "levels.md"

MEANINGS = (
    "*Feature error* is the root mean square of what a reused step has for its deep feature, less what it would have",
    "computed, against the deviation of that, on held-out runs in full. *Latent error* is the mean distance of final",
    "latents from those in full, against their size. *CLIP* is the mean score against that in full, with the 95 %",
    "interval of the paired difference. *Seconds* are processor time of the steps of one image alone on one thread,",
    "without encoding and decoding.",
    "",
    "*Naive* caches at every N-th step and corrects nothing (DeepCache). *As published* cuts the steps by the distance",
    "of deep features and corrects by least squares. *Ours* cuts them by what a reused feature does to the step's",
    "latent, and corrects mean and deviation ([0116](../decisions/0116-what-a-reused-feature-does.md)). *Fewer steps*",
    "is no caching at all: so many steps in full.",
)


def write_page() -> None:
    """Write it anew, each part that was measured."""
    gain = json.loads(GAIN.read_text(encoding="utf-8")) if GAIN.is_file() else None
    PAGE.write_text(page(json.loads(KEPT.read_text(encoding="utf-8")), gain), encoding="utf-8")


def table(found: Sequence[dict[str, Any]]) -> list[str]:
    """The ways as a table, in full first."""
    full = found[0]
    lines = [
        "| whole forwards | way | at steps | feature error | latent error | CLIP, relative | seconds | speed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for way in found:
        of_feature = "–" if way["feature_error"] is None else f"{way['feature_error']:.3f}"
        at = ", ".join(map(str, way["whole_at"])) if way["steps"] == full["steps"] and way is not full else "all"
        lines.append(
            f"| {way['whole']} of {way['steps']} | {way['way']} | {at} | {of_feature} | {way['latent_error']:.3f} "
            f"| {way['clip']:.4f} ± {way['clip_interval']:.4f} | {way['seconds']:.2f} "
            f"| {full['seconds'] / way['seconds']:.1f}× |"
        )
    return lines


def page(found: dict[str, Any], gain: dict[str, Any] | None = None) -> str:
    """The page for people."""
    run, machine, ways = found["run"], found["hardware"], found["ways"]
    return "\n".join(
        [
            "# Levels: what reusing deep features costs",
            "",
            "After this page you can say what CacheQuant and fewer steps gain on the embedded `large`, and in plans.",
            "",
            f"`{run['command']}`, {run['measured']}, family {run['family']} {run['family_version']}, on "
            f"{machine['name']}, torch {machine['torch']}, diffusers {machine['diffusers']}; "
            f"{ways[0]['prompts']} held-out prompts from the same noise, calibrated "
            f"on {run.get('calibrated', 8)} others.",
            "",
            *table(ways),
            "",
            *MEANINGS,
            "",
            *(found["says"]),
            "",
            *(gain_part(gain) if gain else []),
        ]
    )


def gain_part(found: dict[str, Any]) -> list[str]:
    """What all levels gain above capacity."""
    plans, run = found["plans"], found["run"]
    lines = [
        "## Above capacity: what more kinds of level gain",
        "",
        f"`{run['command']}`, {run['measured']}. Simulated: {found['workers']} workers by the profile measured "
        f"{found['profile']}, {found['prompts']} held-out prompts, steady demand at {found['load']:.0%} of what they "
        f"carry exactly for {found['seconds']:.0f} s, target {found['slo_s']:g} s, {found['seeds']} seeds.",
        "",
        "| plan | quality lost, % | less than the first, % | late, % | drawn at |",
        "| --- | --- | --- | --- | --- |",
    ]
    for number, plan in enumerate(plans):
        shares = ", ".join(f"`{level}` {share:.0%}" for level, share in plan["levels"].items() if share >= 0.005)
        less = "–" if number == 0 else f"{100 * plan['less']:.0f} ({between(plan['less_interval'], 0)})"
        lines.append(
            f"| {plan['plan']} | {100 * plan['quality_lost']:.2f} ({between(plan['quality_lost_interval'], 2)}) "
            f"| {less} | {100 * plan['violation_rate']:.2f} | {shares} |"
        )
    auto, every = plans[1:]
    derived = " and ".join(f"`{level}`" for level in found["derived"])
    modelled = [
        f"What {derived} costs is not in that profile: its steps are those of its model there, of `cq` levels",
        f"{found['step_share']:.2f} of them, as processor times say in the table above.",
        "",
    ]
    return [
        *lines,
        "",
        *(modelled if derived else []),
        "*Quality lost* is the mean shortfall from `exact` of what was served; in brackets the middle 95 % over seeds,",
        "paired. A level that ties with `exact` falls short by what its scores scatter.",
        "",
        f"With all levels the plan loses {100 * every['less']:.0f} % less ({between(every['less_interval'], 0)}) than "
        f"with {plans[0]['plan']}, as `auto` has them {100 * auto['less']:.0f} % "
        f"({between(auto['less_interval'], 0)}).",
        f"The goal, 30 % less, is {reached(every)}.",
        "",
    ]


def between(ends: Sequence[float] | None, digits: int) -> str:
    """Both ends in percent."""
    return "one seed" if ends is None else " to ".join(f"{100 * end:.{digits}f}" for end in ends)


def reached(plan: dict[str, Any]) -> str:
    """Whether the whole interval is beyond the goal."""
    low = (plan["less_interval"] or [plan["less"]])[0]
    return "reached" if low >= 0.3 else "not shown" if plan["less"] >= 0.3 else "not reached"
