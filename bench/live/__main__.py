"""`python -m bench.live`: measure capacity, run the policies one after the other, write the page."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench.live.capacity import common_target_s, profiled, read_profiled, reference_of
from bench.live.earlier import with_earlier
from bench.live.instance import DEVICES
from bench.live.load import TRACE, Load, make_load
from bench.live.machine import hardware
from bench.live.page import KEPT, PAGE, RESULTS, page
from bench.live.policy_run import Setup, measure
from core.families import Family, load_family
from core.settings import ROOT
from scheduler.policies import NAMES
from traces.reader import read_trace
from traces.replay.plan import read_prompts
from traces.replay.references import References

RECORDS = RESULTS / "live-runs"  # what `bench.scheduler`'s part `validate` simulates again


@dataclass(frozen=True)
class Options:
    """The command's options, as click gives them."""

    minutes: float
    policies: str
    share: float
    name: str
    capacity: float | None
    slo_s: float
    sample: int
    drain_s: float
    seed: int
    shared: Path | None
    home: Path | None
    resume: Path | None
    note: str
    write: bool


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="Length of the replay.")
@click.option(
    "--policies", default="argus,clipper-ha,pac", show_default=True, help="One after the other, in this order."
)
@click.option("--load", "share", default=1.2, show_default=True, help="Mean arrivals, as a share of exact capacity.")
@click.option("--family", "name", default="embedded", show_default=True, help="Family served.")
@click.option("--capacity", type=float, help="Exact capacity in requests a minute, instead of measuring it.")
@click.option("--slo", "slo_s", default=0.0, show_default=True, help="Target latency, s; 0: 3 × exact latency.")
@click.option("--sample", default=200, show_default=True, help="Requests whose quality is measured.")
@click.option("--drain", "drain_s", default=240.0, show_default=True, help="Seconds to wait for what is still open.")
@click.option("--seed", default=1, show_default=True, help="Of arrivals, prompts, image seeds and the sample.")
@click.option("--shared", type=click.Path(path_type=Path), help="Folder with traces/. [ARGUS_SHARED, ../shared]")
@click.option("--home", type=click.Path(path_type=Path), help="Folder for the runs' own homes. [var/live]")
@click.option(
    "--resume", type=click.Path(path_type=Path, exists=True), help="Go on with a run that was interrupted: its folder."
)
@click.option("--note", default="", help="What else the machine did meanwhile: a sentence for the page.")
@click.option("--write", is_flag=True, help="Write docs/results/live.json and live.md.")
def main(**given: Any) -> None:
    """Replay the Twitter burst against a live Argus under each policy, and compare.

    `--resume` takes the other options as they were given first: same profile, arrivals and references; what is done is
    kept.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an Argus in the background must not be left running
    options, console, load_before = Options(**given), Console(stderr=True), os.getloadavg()[0]
    policies = _policies(options.policies)
    family, base = load_family(options.name), _folder(options)
    console.print(f"logs: {base}")
    profiles = read_profiled(base) if options.resume else profiled(base, family)
    exact = [reference_of(profile, family) for profile in profiles]
    capacity = options.capacity or sum(level["requests_per_minute"] for level in exact)
    load = _load(options, family, options.share * capacity)
    found = _about(options, family, exact, capacity, load, load_before)
    if options.resume:
        found = json.loads((base / KEPT.name).read_text())
        found["run"]["measured"] += f", interrupted and resumed {datetime.now(UTC):%H:%M} UTC"
    scores = References(base / "references.csv")
    target_s = found["run"]["target_s"]
    setup = Setup(base, family, profiles[0], load, target_s, capacity, options.drain_s, scores, console)
    setup = replace(setup, records=RECORDS if options.write else None)
    for policy in [policy for policy in policies if policy not in found["policies"]]:
        console.print(f"{policy}: {len(load.planned)} requests in {options.minutes:g} min, {load.mean:.0f} a minute")
        found["policies"][policy] = measure(policy, setup)
        _keep(found, base, options.write)
    click.echo(page(found))


def _policies(text: str) -> list[str]:
    policies = [policy.strip() for policy in text.split(",")]
    if unknown := set(policies) - set(NAMES):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: not among {', '.join(NAMES)}", param_hint="--policies")
    return policies


def _folder(options: Options) -> Path:
    """Where the homes of the run lie: a new folder, or that of the run that is resumed."""
    if options.resume:
        return options.resume.absolute()
    home = (options.home or ROOT / "var" / "live").absolute()
    home.mkdir(parents=True, exist_ok=True)
    if options.home is None:
        home.chmod(0o755)  # `argus up` closes what lies in var/; as root, PostgreSQL runs as another user
    return home / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"


def _load(options: Options, family: Family, per_minute: float) -> Load:
    shared = options.shared or Path(os.environ.get("ARGUS_SHARED", ROOT.parent / "shared"))
    trace = read_trace(shared / "traces" / TRACE)
    prompts = read_prompts(ROOT / "profiles" / family.id / "quality.csv")
    return make_load(trace, 60 * options.minutes, per_minute, prompts, options.seed, options.sample)


def _about(
    options: Options, family: Family, exact: list[dict[str, Any]], capacity: float, load: Load, load_before: float
) -> dict[str, Any]:
    """What the page says of the run, before any policy has run."""
    run = {
        "command": "python -m " + " ".join(["bench.live", *sys.argv[1:]]),
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "load_before": load_before,
        "note": options.note,
        "family": family.id,
        "family_version": family.version,
        "reference": family.reference,
        "capacity": capacity,
        "capacity_is": "given" if options.capacity else "two processes profiled at the same time, here and then",
        "profiled": dict(zip(DEVICES, exact, strict=True)),
        "load": options.share,
        "target_s": options.slo_s or common_target_s(exact),
        "mean": load.mean,
        "busiest": load.busiest,
        "trace": f"Trace `{TRACE}`",
        "start_s": load.start_s,
        "duration_s": load.window.duration_s,
        "requests": len(load.planned),
        "sample": len(load.sample),
        "seed": options.seed,
    }
    return {"run": run, "hardware": hardware(), "policies": {}}


def _keep(found: dict[str, Any], base: Path, write: bool) -> None:
    """Keep what is measured so far, in the run's folder and, if wanted, in docs/results."""
    text = json.dumps(found, indent=1) + "\n"
    (base / KEPT.name).write_text(text, encoding="utf-8")
    if write:
        known = with_earlier(found, json.loads(KEPT.read_text())) if KEPT.exists() else found
        KEPT.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(page(known), encoding="utf-8")


if __name__ == "__main__":
    main()
