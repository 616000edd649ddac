"""Runs of the same comparison before the one on the page: figures of each, and how often who was ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MOST = 9  # runs kept beside the newest
OF_RUN = ("measured", "seed", "capacity", "mean", "load", "duration_s", "family_version", "target_s", "note")
OF_POLICY = ("violation_rate", "goodput_per_minute", "quality_mean", "quality_standard_error", "latency_p99_s")


def in_short(found: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a run once another takes its place."""
    policies = {name: {key: one.get(key) for key in OF_POLICY} for name, one in found["policies"].items()}
    return {**{key: found["run"].get(key) for key in OF_RUN}, "policies": policies}


def with_earlier(found: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """A run with those before it; `before` is what was kept last, which may be a part of the same run."""
    earlier = before.get("earlier", [])
    if before["run"]["measured"][:16] != found["run"]["measured"][:16]:
        earlier = [in_short(before), *earlier]
    return {**found, "earlier": earlier[:MOST]}


def alike(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The run and those before it at the same load, as long, with the same version of the family; the newest first."""
    same = ("load", "duration_s", "family_version")
    return [in_short(found)] + [
        one for one in found.get("earlier", []) if all(one[key] == found["run"][key] for key in same)
    ]


def table(runs: Sequence[dict[str, Any]], ours: str, rivals: Sequence[str]) -> list[str]:
    """Every run with both sides, and in how many of them ours was ahead of each rival; nothing of a lone run."""
    if len(runs) < 2:
        return []
    named = "run, seed, exact capacity a minute, policy, target s, violations %, goodput/min, measured quality, p99 s"
    head = named.split(", ")
    rows = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for run in runs:
        for name, one in run["policies"].items():
            quality = "–" if one["quality_mean"] is None else f"{one['quality_mean']:.4f}"
            about = f"| {run['measured']} | {run['seed']} | {run['capacity']:.0f} | {name} | {_target(run)} "
            late, p99 = 100 * one["violation_rate"], one["latency_p99_s"] or 0
            rows.append(f"{about}| {late:.2f} | {one['goodput_per_minute']:.1f} | {quality} | {p99:.2f} |")
    return ["## Every run of this", "", *rows, "", *_ahead(runs, ours, rivals), *_notes(runs)]


def _target(run: dict[str, Any]) -> str:
    """Before there was one for all it was what the server promised at acceptance, which grew under load."""
    return f"{run['target_s']:.2f}" if run.get("target_s") else "as promised"


def _ahead(runs: Sequence[dict[str, Any]], ours: str, rivals: Sequence[str]) -> list[str]:
    """A sentence a rival; three runs are too few for an interval."""
    lines = []
    for rival in rivals:
        both = [run["policies"] for run in runs if ours in run["policies"] and rival in run["policies"]]
        if not both:
            continue
        fewer = sum(each[ours]["violation_rate"] < each[rival]["violation_rate"] for each in both)
        more = sum(each[ours]["goodput_per_minute"] > each[rival]["goodput_per_minute"] for each in both)
        scored = [each for each in both if each[ours]["quality_mean"] and each[rival]["quality_mean"]]
        better = sum(each[ours]["quality_mean"] >= each[rival]["quality_mean"] for each in scored)
        lines.append(
            f"- Of {len(both)} runs with `{rival}`, `{ours}` had fewer violations in {fewer}, more goodput in {more}, "
            f"and no less measured quality in {better} of {len(scored)}."
        )
    return [*lines, ""]


def _notes(runs: Sequence[dict[str, Any]]) -> list[str]:
    return [f"*{run['measured']}*: {run['note']}" for run in runs[1:] if run.get("note")]
