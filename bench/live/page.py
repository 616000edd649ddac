"""docs/results/live.md from docs/results/live.json."""

from __future__ import annotations

import statistics
from typing import Any

from bench.live.earlier import alike, table
from bench.live.machine import told
from bench.live.quality import standard_error
from core.settings import ROOT

RESULTS = ROOT / "docs" / "results"
PAGE, KEPT = RESULTS / "live.md", RESULTS / "live.json"
MOST_LATE = 0.02
OURS, BASELINES, PROMPT_AGNOSTIC = "argus", ("clipper-ha", "pac"), "pac"


def page(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    run, machine = found["run"], found["hardware"]
    lines = [
        "# Live: Argus against the baselines on this machine",
        "",
        f"`{run['command']}` on {told(machine)}; {run['measured']}; load "
        f"average before: {run['load_before']:.1f}. Real services, images and scores; the policies ran one after the "
        "other, each with a fresh database, and shared the two cores with web, PostgreSQL, Valkey, scheduler, scorer "
        f"and load script. {run.get('note', '')}".rstrip(),
        "",
        f"Family `{run['family']}` {run['family_version']}, two CPU workers of one thread. Exact capacity "
        f"{run['capacity']:.0f} requests a minute: {run['capacity_is']}. {run['trace']}, seconds {run['start_s']:.0f} "
        f"to {run['start_s'] + run['duration_s']:.0f}: {run['requests']} requests, {run['mean']:.0f} a minute on the "
        f"mean ({run['load']:.0%} of exact capacity), {run['busiest']:.0f} in the busiest minute. The target latency "
        "is what the server promised at acceptance (by its own calibration), from the intended arrival to "
        f"the stored image. Seed {run['seed']}.",
        "",
        *_table(found["policies"]),
        "",
        "Violations count late, failed, refused and unfinished requests; goodput is images in time a minute of "
        f"arrivals. Quality is measured: score over the score of `{run['reference']}` with the same prompt and "
        f"seed, over those of {run['sample']} sampled requests (the same for every policy) that were served, "
        "± one standard error.",
        "",
        *_levels(found["policies"]),
        "",
        *reading(found["policies"]),
        "",
        *table(alike(found), OURS, (PROMPT_AGNOSTIC, "clipper-ha")),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _table(policies: dict[str, Any]) -> list[str]:
    named = "policy, target s, requests, served, violations %, goodput/min, measured quality, p50 s, p99 s"
    head = (*named.split(", "), "refused", "unfinished", "restarts")
    rows = [
        f"| {name} | {_number(p.get('slo_s'))} | {p['requests']} | {p['served']} | {100 * p['violation_rate']:.2f} "
        f"| {p['goodput_per_minute']:.1f} "
        f"| {_quality(p)} | {_number(p['latency_p50_s'])} | {_number(p['latency_p99_s'])} | {p['refused']} | "
        f"{p['unfinished']} | {', '.join(p['restarted']) or '–'} |"
        for name, p in policies.items()
    ]
    return [f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *rows]


def _levels(policies: dict[str, Any]) -> list[str]:
    """Shares of what was served, by level."""
    names = sorted({level for p in policies.values() for level in p["levels"]})
    rows = [f"| {policy} | " + " | ".join(f"{100 * p['levels'].get(name, 0.0):.1f}" for name in names) + " |"
            for policy, p in policies.items()]  # fmt: skip
    return ["Share of served requests by level, %:", "", f"| policy | {' | '.join(names)} |",
            "|" + " --- |" * (len(names) + 1), *rows]  # fmt: skip


def reading(policies: dict[str, Any]) -> list[str]:
    """The goal row of the scheduler's issue, figure by figure."""
    if OURS not in policies or not set(BASELINES) & set(policies):
        return ["Not a comparison: it takes argus and a baseline."]
    ours, others = policies[OURS], {name: policies[name] for name in BASELINES if name in policies}
    fewest = min(others, key=lambda name: float(others[name]["violation_rate"]))
    most = max(others, key=lambda name: float(others[name]["goodput_per_minute"]))
    rows = [
        _goal(
            f"violations of {OURS} at most {MOST_LATE:.0%}",
            f"{ours['violation_rate']:.2%}",
            ours["violation_rate"] <= MOST_LATE,
        ),
        _goal(
            "fewer violations than both baselines' better one",
            f"{ours['violation_rate']:.2%} against {others[fewest]['violation_rate']:.2%} ({fewest})",
            ours["violation_rate"] < others[fewest]["violation_rate"],
        ),
        _goal(
            "higher goodput than both baselines' better one",
            f"{ours['goodput_per_minute']:.1f} against {others[most]['goodput_per_minute']:.1f} a minute ({most})",
            ours["goodput_per_minute"] > others[most]["goodput_per_minute"],
        ),
    ]
    if (pac := others.get(PROMPT_AGNOSTIC)) and ours["quality_mean"] and pac["quality_mean"]:
        reached = ours["quality_mean"] >= pac["quality_mean"]
        figure = f"{_quality(ours)} against {_quality(pac)}; {_paired(ours, pac)}"
        rows.append(_goal("mean measured quality at least PAC's", figure, reached))
    return ["| goal | figure |  |", "| --- | --- | --- |", *rows]


def _goal(goal: str, figure: str, reached: bool) -> str:
    return f"| {goal} | {figure} | {'reached' if reached else '**missed**'} |"


def _quality(figures: dict[str, Any]) -> str:
    mean, error = figures["quality_mean"], figures["quality_standard_error"]
    if mean is None:
        return "–"
    return f"{mean:.4f} ± {error or 0:.4f} (n = {figures['quality_images']})"


def _paired(ours: dict[str, Any], other: dict[str, Any]) -> str:
    """The difference over the requests that both served; with the same prompts and seeds it varies less than means."""
    mine, theirs = ours["quality_by_place"], other["quality_by_place"]
    differences = [mine[place] - theirs[place] for place in mine if place in theirs]
    if not differences:
        return "no request was served by both"
    return f"pair by pair {statistics.fmean(differences):+.4f} ± {standard_error(differences) or 0:.4f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
