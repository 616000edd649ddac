"""docs/results/chaos.md from docs/results/chaos.json: what did not hold first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bench.chaos.verdict import MEANING
from bench.live.machine import told
from core.settings import ROOT

KEPT, PAGE = ROOT / "docs/results/chaos.json", ROOT / "docs/results/chaos.md"
NO_SUPERVISOR = (
    "A killed supervisor (`argus up`) ends with all it runs; the harness starts it again after a second, in the place "
    "of systemd or Docker, which do not run here."
)
GOAL = 1000  # faults in an hour
SHORTER = f"The goal is {GOAL:,} faults in an hour (`make chaos`). This run is shorter, and says no more than it says."


def page(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    return "\n".join(
        ["# Chaos: what is lost under fire", "", *_verdict(found), *_about(found), *_table(found), *_ways()]
    )


def _verdict(found: dict[str, Any]) -> list[str]:
    """What does not hold, and then what does."""
    findings = {finding["check"]: finding for finding in found["findings"]}
    lines = []
    for check, finding in findings.items():
        lines += [f"- **Does not hold: {finding['count']} {MEANING[check]}**, for example:"]
        lines += [f"  - {_plain(example)}" for example in finding["examples"]]
    if not findings:
        lines += ["Everything held."]
    held = [f"{meaning}: 0" for check, meaning in MEANING.items() if check not in findings]
    return [*lines, "", f"Held, from SQL and the store's files: {'; '.join(held)}. Restarts by hand: 0.", ""]


def _about(found: dict[str, Any]) -> list[str]:
    run, counts, machine = found["run"], found["counts"], found["hardware"]
    more = [f"{name}: {count}" for name, count in counts.items() if " " in name]
    left = ", ".join(f"{count} {MEANING[check]}" for check, count in found["left"].items()) or "nothing"
    lines = [
        f"`{run['command']}`, {datetime.fromtimestamp(run['began'], UTC):%Y-%m-%d %H:%M} UTC, commit {run['commit']}, "
        f"on {told(machine)}; load average before {run['load_before']:.1f}. A whole Argus (`argus up`, two CPU "
        f"workers, family {run['family']} {run['family_version']} at its smallest size, four steps) and the harness "
        "shared the machine.",
        "",
        f"{counts['faults']} faults in {run['struck_s'] / 60:.0f} minutes, seed {run['seed']}, one after the other; "
        f"{counts['hit']} of them met something (a COMMIT to cut, a message to drop, a process that ran). "
        f"{counts['jobs']} jobs with {counts['promised']} requests were accepted, {run['per_minute']:g} submissions a "
        f"minute; {counts['images']} images. By state, outcome and answer to a submission, Argus's own audits among "
        f"them: {', '.join(more)}.",
        "",
        f"After the last fault {_seconds(run['drained_s'])} until nothing was open, and {_seconds(run['settled_s'])} "
        f"more until the checks above were as they are. Left to reconciliation then: {left}. Files were made two hours "
        "older for it, because it leaves those of the last hour alone.",
        "",
        NO_SUPERVISOR,
        "",
        *([SHORTER, ""] if counts["faults"] < GOAL else []),
    ]
    skipped = [f"- {kind}: {why}" for kind, why in found["skipped"].items()]
    return lines + (["Left out here:", "", *skipped, ""] if skipped else [])


def _table(found: dict[str, Any]) -> list[str]:
    head = ("kind", "what", "faults", "met something", "first new image s", "backlog final s")
    rows = [
        f"| {row['family']} | {row['kind']} | {row['count']} | {row['hit']} | {_spread(row['first_s'])} "
        f"| {_spread(row['backlog_s'])} |"
        for row in found["table"]
    ]
    return ["## Recovery by kind of fault", "", f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *rows, ""]


def _ways() -> list[str]:
    return [
        "Seconds after the end of the fault, median and longest: until the first image of a request accepted after it, "
        "and until every request with a latency target accepted before it was final. Faults follow each other closely: "
        "what a later one delays counts for the earlier one too, so these are upper bounds.",
        "",
    ]


def _spread(seconds: Sequence[float] | None) -> str:
    return "–" if seconds is None else f"{seconds[0]:.1f} / {seconds[1]:.1f}"


def _seconds(value: float | None) -> str:
    return "more than the patience of the harness" if value is None else f"{value:.0f} s"


def _plain(example: str) -> str:
    return example.replace("|", "/").replace("\n", " ")[:300]
