"""docs/results/live.md from docs/results/live.json."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.live.earlier import alike, table
from bench.live.machine import told
from bench.scheduler.intervals import drawn, shown, verdict
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
        f"is {run.get('target_s') or 0:g} s for all, by default three times what a request at the reference level "
        f"takes while both slots draw, from the intended arrival to the stored image. Seed {run['seed']}.",
        "",
        *_table(found["policies"]),
        "",
        "Violations count late, failed, refused and unfinished requests; goodput is images in time a minute of "
        f"arrivals. Quality is measured: score over the score of `{run['reference']}` with the same prompt and "
        f"seed, over those of {run['sample']} sampled requests (the same for every policy) that were served, "
        "± one standard error. In brackets: 95 % intervals, by a bootstrap over the minutes of the run, of "
        "quality over the requests; paired, as all policies met the same. A goal is not shown where its interval "
        "straddles it.",
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
            shown(_late(ours)),
            verdict(MOST_LATE - _late(ours)),
        ),
        _goal(
            "fewer violations than both baselines' better one",
            f"{shown(_late(ours))} against {shown(_late(others[fewest]))} ({fewest})",
            verdict(_late(others[fewest]) - _late(ours)),
        ),
        _goal(
            "higher goodput than both baselines' better one",
            f"{ours['goodput_per_minute']:.1f} against {others[most]['goodput_per_minute']:.1f} a minute ({most})",
            verdict(_late(others[most]) - _late(ours)),
        ),
    ]
    if (pac := others.get(PROMPT_AGNOSTIC)) and ours["quality_mean"] and pac["quality_mean"]:
        more = _differences(ours, pac)
        figure = f"{_quality(ours)} against {_quality(pac)}; of the {len(more)} that both drew {_more(more)}"
        rows.append(_goal("mean measured quality at least PAC's", figure, verdict(drawn(more)) if more else "–"))
    return ["| goal | figure |  |", "| --- | --- | --- |", *rows]


def _goal(goal: str, figure: str, said: str) -> str:
    return f"| {goal} | {figure} | {said} |"


def _late(figures: dict[str, Any]) -> np.ndarray:
    """The share of violations, with what the minutes say of its interval; paired, as all met the same minutes."""
    if not figures.get("by_minute"):  # of a run from before these were kept
        return np.array([figures["violation_rate"]])
    requests, violations = zip(*figures["by_minute"], strict=True)
    return drawn([of / max(1, n) for n, of in zip(requests, violations, strict=True)], requests)


def _quality(figures: dict[str, Any]) -> str:
    mean, error = figures["quality_mean"], figures["quality_standard_error"]
    if mean is None:
        return "–"
    return f"{mean:.4f} ± {error or 0:.4f} (n = {figures['quality_images']})"


def _differences(ours: dict[str, Any], other: dict[str, Any]) -> list[float]:
    """Of the requests that both served; with the same prompts and seeds these vary less than means."""
    mine, theirs = ours["quality_by_place"], other["quality_by_place"]
    return [mine[place] - theirs[place] for place in mine if place in theirs]


def _more(differences: list[float]) -> str:
    return f"{shown(drawn(differences), 2)} points" if differences else "nothing"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
