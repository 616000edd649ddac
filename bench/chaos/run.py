"""One run: load, faults one after the other, drain, verdict."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from bench.chaos.evidence import gather
from bench.chaos.fault import Fault
from bench.chaos.faults import FAULTS, choose
from bench.chaos.ledger import Ledger, Strike
from bench.chaos.load import Load, wishes
from bench.chaos.recovery import table
from bench.chaos.site import Site, site
from bench.chaos.verdict import Finding, judge
from bench.chaos.watch import Watch
from core.families import load_family

DRAIN_S = 300.0  # patience with what is open when the last fault is over
SETTLE_S = 180.0  # patience with what reconciliation still has to put right
AGED_S = 2 * 3600.0  # reconciliation leaves files alone that are younger than an hour
LOOK_S = 5.0
TELL_S = 30.0
STEPS = 4  # of an image: the smallest size, cheap to draw


@dataclass(frozen=True)
class Wanted:
    """What a run is asked to be. Rates in requests a minute."""

    minutes: float
    faults: int
    seed: int
    per_minute: float
    only: str = ""  # families or kinds that contain this; empty: all


Say = Callable[[str], None]


def run(
    wanted: Wanted,
    home: Path,
    prompts: Sequence[str],
    say: Say,
    family: Path | None = None,
    more: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Everything of the run that a page can say, as JSON has it.

    Args:
        home: an empty folder, kept: ledger, logs.
        family, more: see `site`.
    """
    with site(home, family, more or {}) as under_fire:
        possible, skipped = _possible(under_fire, wanted.only)
        for kind, why in skipped.items():
            say(f"left out: {kind}: {why}")
        ledger = Ledger(home / "ledger.jsonl")
        times, answers = _fire(under_fire, possible, wanted, prompts, ledger, say)
        left = {finding.check: finding.count for finding in _findings(under_fire, ledger)}
        _age(under_fire.images.link)
        findings, times["settled_s"] = _settle(under_fire, ledger)
        return {
            "run": asdict(wanted) | times,
            "counts": _counts(under_fire, ledger) | answers,
            "skipped": skipped,
            "left": left,
            "findings": [asdict(finding) for finding in findings],
            "table": [asdict(row) for row in table(ledger)],
        }


def _fire(
    under_fire: Site, possible: Sequence[Fault], wanted: Wanted, prompts: Sequence[str], ledger: Ledger, say: Say
) -> tuple[dict[str, float | None], dict[str, int]]:
    """Load, faults, and the wait for what is open then: when it began and how long each took, answers by status."""
    watch, load = Watch(under_fire, ledger), _load(under_fire, wanted, prompts, ledger)
    began = time.time()
    watch.start()
    try:
        load.start()
        try:
            _strike(under_fire, choose(possible, wanted.faults, wanted.seed), wanted, ledger, say)
        finally:
            load.stop()
        struck_s = time.time() - began
        say(f"{len(ledger.strikes)} faults are over; {len(ledger.open())} requests are open")
        drained_s = _wait(lambda: not ledger.open(), DRAIN_S)
    finally:
        watch.stop()
    answers = {f"answers {status}": count for status, count in sorted(load.answers.items())}
    return {"began": began, "struck_s": struck_s, "drained_s": drained_s}, answers


def _possible(under_fire: Site, only: str) -> tuple[list[Fault], dict[str, str]]:
    """The faults that can be injected here, and why the others cannot."""
    asked = [each for each in FAULTS if only in each.family or only in each.kind]
    missing = {each.kind: each.missing(under_fire) for each in asked}
    skipped = {kind: why for kind, why in missing.items() if why}
    return [each for each in asked if each.kind not in skipped], skipped


def _load(under_fire: Site, wanted: Wanted, prompts: Sequence[str], ledger: Ledger) -> Load:
    family = load_family(under_fire.settings["ARGUS_FAMILY"])
    width, height = min(family.limits.sizes)
    small = {"width": width, "height": height, "steps": STEPS}
    return Load(under_fire.address, wishes(prompts, small, wanted.per_minute, wanted.seed), ledger)


def _strike(under_fire: Site, faults: Sequence[Fault], wanted: Wanted, ledger: Ledger, say: Say) -> None:
    """Inject them one after the other, each at its place of the run or as soon as the one before is healed."""
    rng, start, told = Random(wanted.seed), time.monotonic(), time.monotonic()
    for number, each in enumerate(faults, 1):
        time.sleep(max(0.0, start + 60 * wanted.minutes * number / (len(faults) + 1) - time.monotonic()))
        at, hold_s = time.time(), rng.uniform(*each.hold_s)
        with each.inject(under_fire, Random(rng.random())) as hit:
            time.sleep(hold_s)
        ledger.add(Strike(number, each.kind, each.family, hit.target, at, time.time(), hit.met))
        if time.monotonic() - told > TELL_S:
            told = time.monotonic()
            say(f"{number} faults; {len(ledger.promises)} jobs accepted, {len(ledger.kept)} requests final, "
                f"{len(ledger.open())} open")  # fmt: skip


def _settle(under_fire: Site, ledger: Ledger) -> tuple[list[Finding], float | None]:
    """Findings, once there are none or patience ends: reconciliation has its turn."""
    findings: list[Finding] = []

    def clean() -> bool:
        nonlocal findings
        findings = _findings(under_fire, ledger)
        return not findings

    seconds = _wait(clean, SETTLE_S)
    return findings, seconds


def _findings(under_fire: Site, ledger: Ledger) -> list[Finding]:
    """What does not hold now."""
    try:
        return judge(gather(under_fire, ledger))
    except (subprocess.SubprocessError, OSError) as error:
        return [Finding("processes", 1, (f"Argus cannot be asked: {error}",))]


def _age(folder: Path) -> None:
    """Let two hours pass for the files of the store."""
    for path in folder.resolve().rglob("*"):
        if path.is_file():
            at = path.stat().st_mtime - AGED_S
            os.utime(path, (at, at))


def _wait(condition: Callable[[], bool], patience_s: float) -> float | None:
    """Seconds until it held; None when patience ended first."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > patience_s:
            return None
        time.sleep(LOOK_S)
    return time.monotonic() - began


def _counts(under_fire: Site, ledger: Ledger) -> dict[str, int]:
    """Figures of the run, from ledger and SQL."""
    states = dict(under_fire.ask("SELECT state, count(*)::int FROM request GROUP BY 1"))
    outcomes = dict(under_fire.ask("SELECT coalesce(outcome, 'open'), count(*)::int FROM attempt GROUP BY 1"))
    return {
        "faults": len(ledger.strikes),
        "hit": sum(strike.hit for strike in ledger.strikes),
        "jobs": len(ledger.promises),
        "promised": sum(len(promise.requests) for promise in ledger.promises),
        "images": under_fire.ask("SELECT count(*)::int FROM image")[0][0],
        **{f"requests {state}": count for state, count in states.items()},
        **{f"attempts {outcome}": count for outcome, count in outcomes.items()},
    }
