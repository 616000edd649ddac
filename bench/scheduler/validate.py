"""Recorded live runs, simulated again: whether the simulator can be believed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.scheduler.parallel import each
from bench.scheduler.part import Part
from bench.scheduler.setup import Setup
from bench.scheduler.tables import goal, goals, percent, table
from scheduler.observation.recording import Kept, read_record
from scheduler.simulate import simulate
from scheduler.simulate.recorded import config, losses_of, work

LATE_POINTS, P99_SHARE = 0.02, 0.20
PERCENTILES = (50, 95, 99)
LOSSES = ("hand_over_s", "overhead_s", "snapshot_age_s", "spread")


@dataclass(frozen=True)
class Seen:
    """What became of the requests of a run, live or simulated."""

    late: float
    latency_s: tuple[float, ...]  # of what was stored, at PERCENTILES

    def to_json(self) -> dict[str, Any]:
        return {"late": self.late, **{f"p{p}": s for p, s in zip(PERCENTILES, self.latency_s, strict=True)}}


def validate(setup: Setup) -> dict[str, Any]:
    """Every record, live and simulated."""
    paths = sorted(setup.records.glob("*.json.gz"))
    return {"runs": each(setup, compare, [(path,) for path in paths], prepare=False)}


def compare(setup: Setup, path: Path) -> dict[str, Any]:
    kept = read_record(path)
    return {
        **{
            "name": path.name.removesuffix(".json.gz"),
            "policy": kept.about["policy"],
            "requests": len(kept.requests["at"]),
        },
        **{"losses": losses_of(kept), "live": live(kept).to_json(), "service": service(kept)},
        "simulated": again(kept, setup.seed).to_json(),
        "without losses": again(kept, setup.seed, losses=False).to_json(),
    }


def live(kept: Kept) -> Seen:
    pairs = zip(kept.requests["at"], kept.requests["stored"], strict=True)
    return Seen(float(np.mean(kept.requests["late"])), _percentiles([end - at for at, end in pairs if end is not None]))


def service(kept: Kept) -> tuple[float, float]:
    """Seconds from claim to stored image, live, and of the same levels alone by the corrected profile: medians."""
    alone = {level["id"]: level["latency_s"] for profile in kept.about["profiles"] for level in profile["levels"]}
    columns = (kept.requests[name] for name in ("started", "stored", "level"))
    done = [(end - began, alone[level]) for began, end, level in zip(*columns, strict=True) if end and level in alone]
    took, told = np.median(done, axis=0) if done else (0.0, 0.0)
    return float(took), float(told)


def again(kept: Kept, seed: int, losses: bool = True) -> Seen:
    """The same policy over the same arrivals, predictions and devices."""
    figures = simulate(config(kept, seed, losses), work(kept, losses)).figures
    return Seen(figures["violation_rate"], tuple(figures[f"latency_p{p}_s"] for p in PERCENTILES))


def show_validate(data: dict[str, Any]) -> str:
    runs = data["runs"]
    if not runs:
        return "No run was recorded yet: `python -m bench.live --write` leaves records."
    names = ("late", *(f"p{p}" for p in PERCENTILES))
    cells = [
        (
            run["name"],
            f"`{run['policy']}`",
            str(run["requests"]),
            *(_cell(name, run) for name in names),
            " / ".join(f"{run['losses'].get(name, 0.0):.3g}" for name in LOSSES),
            ", ".join(f"{seconds:.2f}" for seconds in run["service"]),
        )
        for run in runs
    ]
    head = (
        "run", "policy", "requests", "late %: live, simulated (without losses)", "p50 s", "p95 s", "p99 s",
        "hand-over s / overhead s / snapshot age s / spread", "claim to image s: live, profile alone",
    )  # fmt: skip
    late = max(abs(run["live"]["late"] - run["simulated"]["late"]) for run in runs)
    tail = max(abs(run["simulated"]["p99"] / run["live"]["p99"] - 1) for run in runs)
    checks = [
        goal("late: simulated within 2 points of live", late <= LATE_POINTS, f"{percent(late)} points at most"),
        goal("p99: simulated within 20 % of live", tail <= P99_SHARE, f"{percent(tail, 0)} % at most"),
    ]
    return f"{table(head, cells)}\n\n{goals(checks)}"


def _cell(name: str, run: dict[str, Any]) -> str:
    """Live, simulated, and simulated without the losses that were read off the record."""
    scale = 100 if name == "late" else 1
    seen, told, bare = (scale * run[kind][name] for kind in ("live", "simulated", "without losses"))
    return f"{seen:.2f}, {told:.2f} ({bare:.2f}); {told - seen:+.2f}"


def _percentiles(latencies: list[float]) -> tuple[float, ...]:
    return tuple(float(p) for p in np.percentile(latencies or [0.0], PERCENTILES))


PART = Part(
    validate,
    show_validate,
    "The simulator against live runs",
    "Runs of `bench.live` that were recorded (`docs/results/live-runs/`): the same policy simulated over the same "
    "arrivals, predicted qualities and profiles. What live loses and no profile has is read off the record: hand-over, "
    "overhead, snapshot age, how long each request took or, where that is not known, the spread of service times; "
    "policies go by what was known of devices at the time. The last figure of a cell is simulated minus live. Records "
    "of before 2026-11-27 23:00 have profiles as corrected by the end only, no request's own time, and their live "
    "rules have changed since (who is let go of, what draws it and when, the forecast). Those after it are of the "
    "rules that are simulated, on a machine that also ran tests and type checks at the lowest priority: `clipper-ha` "
    "of 23:47 drew at 62 % of what its profile promises, which the simulator hears of by corrections alone. Others "
    "that are known ([why](../decisions/0136-records-say-what-was-known-when.md)): `clipper-ha` drew at a third of its "
    "speed in some minutes, and what was set aside at `exact`, today at the best predicted level; what `pac` set aside "
    "waited for workers of its level, today any that idles draws it; `argus` of 20:59 learned at the end only that two "
    "rows at `exact` take more than half of the target. Until 2026-11-27 the page was 5.1 points off at most, with a "
    "hand-over of 1.5 s for `clipper-ha` that was the wait in its queue.",
)
