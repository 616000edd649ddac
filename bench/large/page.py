"""The page of the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.large import asking
from bench.large.plans import told

GOALS_S = {"pages": 0.3, "views": 2.0, "metrics": 0.2}
METRICS = "/metrics"


def page(found: Mapping[str, Any]) -> str:
    """What was measured, as Markdown."""
    run, machine, filled = found["run"], found["hardware"], found["filled_s"]
    asked = {address: times for address, times in found["asked"].items() if address != METRICS}
    metrics = {METRICS: found["asked"][METRICS]}
    head = (
        f"`{run['command']}`, {run['measured']}, commit {run['commit']}; {machine['name']}, {machine['cores']} cores; "
        f"load average before {run['load_before']:.1f}. {found['rows']:,} requests of {found['days']} days in "
        f"{found['jobs']:,} jobs, {found['gigabytes']:.1f} GB, filled in {filled['rows']:.0f} s; their sums made in "
        f"{filled['sums']:.0f} s, as an upgrade does; what prompts mean, as random directions, in "
        f"{filled['embeddings']:.0f} s. PostgreSQL as `argus up` runs it (128 MB of shared buffers), one "
        f"web process, {asking.CALLS} calls each, one after the other; the slowest first."
    )
    lines = ["# A database with a million requests", "", head, ""]
    lines += [_goal("every page and listing", asked, GOALS_S["pages"])]
    lines += [_goal("every report view", found["views"], GOALS_S["views"])]
    lines += [_goal("`/metrics`", metrics, GOALS_S["metrics"])]
    for title, some in (("Pages and API", {**metrics, **asked}), ("Report views", found["views"])):
        lines += ["", f"## {title}", "", "| what | first, ms | median, ms | p95, ms |", "| --- | ---: | ---: | ---: |"]
        lines += [_row(name, times) for name, times in sorted(some.items(), key=lambda item: -item[1]["p95_s"])]
    return "\n".join([*lines, *told(found["compared"]), ""])


def _goal(what: str, times: Mapping[str, Any], goal_s: float) -> str:
    name, worst = max(times.items(), key=lambda item: float(item[1]["p95_s"]))
    reached = "reached" if worst["p95_s"] < goal_s else "not reached"
    slowest = f"the slowest {worst['p95_s'] * 1000:.0f} ms (`{name}`)"
    return f"- {what} under {goal_s * 1000:.0f} ms (p95): **{reached}**, {slowest}"


def _row(name: str, times: Mapping[str, float]) -> str:
    cells = (f"{1000 * times[key]:.0f}" for key in ("first_s", "p50_s", "p95_s"))
    return f"| `{name}` | {' | '.join(cells)} |"
