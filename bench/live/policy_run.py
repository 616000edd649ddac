"""One policy: warm up, replay, drain, measure quality, and ask the server what it says of itself."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.live.capacity import put_in_force
from bench.live.instance import call, children, environ, running
from bench.live.load import Load
from bench.live.quality import draw_references, relative, standard_error
from bench.live.record import TITLE
from core.client import ArgusClient
from core.families import Family
from core.settings import ROOT
from traces.replay.plan import Planned
from traces.replay.references import References
from traces.replay.send import Sent, send, wait
from traces.replay.summary import summary

WARM_S, WARM_LOAD = 20.0, 0.4  # before the replay: seconds, and share of exact capacity


@dataclass(frozen=True)
class Setup:
    """What all policies share. `capacity` in requests a minute at `exact`; `drain_s` patience with what is open."""

    base: Path
    family: Family
    profile: dict[str, Any]
    load: Load
    slo_s: float
    capacity: float
    drain_s: float
    scores: References
    console: Console
    records: Path | None = None  # where records of the runs are kept


def run_policy(argus: ArgusClient, setup: Setup, bar: Progress, drained: Callable[[], None]) -> dict[str, Any]:
    """Replay, drain, measure quality; answers the figures. `drained` is called before anything is drawn again."""
    load, reference, scores = setup.load, setup.family.reference, setup.scores
    sent = send(argus, load.planned, {"title": TITLE}, bar)
    sending_s = max(one.answered for one in sent)
    wait(argus, sent, setup.drain_s, bar)
    drained()
    draw_references(argus, [sent[place] for place in load.sample], reference, scores, bar)
    measured = {place: relative(sent[place], reference, scores) for place in load.sample}
    known = {str(place): value for place, value in measured.items() if value is not None}
    quality = list(known.values())
    figures = summary(sent, load.window.duration_s, reference, None)
    return {
        **{name: value for name, value in figures.items() if name not in ("quality_is", "quality_lost")},
        "quality_mean": statistics.fmean(quality) if quality else None,
        "quality_standard_error": standard_error(quality),
        "quality_images": len(quality),
        "quality_by_place": known,
        "predicted_mean": figures["quality_mean"],
        "by_minute": by_minute(sent),
        "unfinished": sum(one.request_id is not None and not one.done for one in sent),
        "slo_s": next((one.slo_s for one in sent if one.row), None),
        "sending_s": sending_s,
    }


def by_minute(sent: Sequence[Sent]) -> list[tuple[int, int]]:
    """Requests and violations of each minute of intended arrivals."""
    minutes = [int(one.planned.at // 60) for one in sent]
    counted, violated = Counter(minutes), Counter(m for m, one in zip(minutes, sent, strict=True) if one.violated)
    return [(counted[minute], violated[minute]) for minute in range(max(minutes, default=-1) + 1)]


def warm_up(argus: ArgusClient, load: Load, capacity: float, bar: Progress) -> None:
    """Some requests at a calm rate, so that models, connections and caches of every process have been used once."""
    count = max(4, int(WARM_LOAD * capacity * WARM_S / 60))
    spaced = [Planned(WARM_S * n / count, one.prompt, n) for n, one in enumerate(load.planned[:count])]
    wait(argus, send(argus, spaced, {"title": "warm-up"}, bar), 60.0, bar)


def keep_record(setup: Setup, began: datetime, file: Path, settings: Mapping[str, str]) -> None:
    """What the simulator needs to run this again, by a process that has the settings of the run."""
    words = [sys.executable, "-m", "bench.live.record", setup.family.id, began.isoformat(), str(file)]
    subprocess.run(words, env=dict(settings), cwd=ROOT, check=True)
    if setup.records:
        setup.records.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, setup.records / f"{settings['ARGUS_POLICY']}-{began:%Y%m%d-%H%M}.json.gz")


def measure(policy: str, setup: Setup) -> dict[str, Any]:
    """One policy on an Argus of its own."""
    home = setup.base / policy
    settings = environ(home, policy, setup.slo_s)
    put_in_force(setup.profile, home)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with running(settings) as argus, Progress(*columns, console=setup.console) as bar:
        warm_up(argus, setup.load, setup.capacity, bar)
        before, began = children(home), datetime.now(UTC)
        figures = run_policy(argus, setup, bar, lambda: keep_record(setup, began, home / "record.json.gz", settings))
        until = datetime.fromtimestamp(began.timestamp() + setup.load.window.duration_s, UTC)
        file = home / "report.json"
        call(["report", "--since", began.isoformat(), "--until", until.isoformat(), "--json", str(file)], settings)
        report = json.loads(file.read_text())
        after = children(home)
    restarted = [name for name, pid in before.items() if after.get(name) != pid]
    kept = ("requests", "images", "violation_rate", "latency_p50_s", "latency_p99_s", "images_per_minute")
    server = {name: report[name] for name in kept}
    return {**figures, "began": f"{began:%Y-%m-%d %H:%M} UTC", "restarted": restarted, "server": server}
