"""A schedule as Chrome trace events: what ui.perfetto.dev and chrome://tracing open.

The format is the JSON array of Google's “Trace Event Format”; times are microseconds. A process is a type of device, a
thread a worker; where a worker runs several requests at once each slot is a thread of its own, because slices of one
thread must nest. The first process is the scheduler: instants are its ticks, its counter is what waits.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

Event = dict[str, Any]
SCHEDULER = 1  # its process id; device types follow
# Names of Chrome's fixed palette that differ enough to tell levels apart.
COLOURS = (
    "thread_state_running", "rail_response", "rail_animation", "thread_state_iowait", "yellow",
    "cq_build_attempt_failed", "rail_idle", "rail_load", "thread_state_runnable", "olive", "bad", "startup",
    "good", "terrible",
)  # fmt: skip
LOADING = "grey"
SAME_S = 1e-6  # clocks are not finer


@dataclass(frozen=True)
class Slice:
    """What a worker did from `start` to `end`, in seconds. `level` colours it; a load of weights has none."""

    device: str
    worker: str
    start: float
    end: float
    name: str
    level: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tick:
    """The scheduler planned at `at`."""

    at: float
    epoch: int
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """All of a run. `waiting` are (second, requests by queue), after each change; `levels` in the order of colours."""

    slices: Sequence[Slice]
    ticks: Sequence[Tick] = ()
    waiting: Sequence[tuple[float, Mapping[str, int]]] = ()
    levels: Sequence[str] = ()


def write(schedule: Schedule, path: Path) -> None:
    """One event a line; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(event, separators=(",", ":")) for event in events(schedule))
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def events(schedule: Schedule) -> list[Event]:
    """The trace: names first, then everything in order of time."""
    timed = [*_slices(schedule), *_ticks(schedule.ticks), *_waiting(schedule.waiting)]
    names = [event for event in timed if event["ph"] == "M"]
    rest = sorted((event for event in timed if event["ph"] != "M"), key=lambda event: event["ts"])
    return [_name("process", SCHEDULER, 0, "scheduler"), *names, *rest]


def colour(level: str, levels: Sequence[str]) -> str:
    """By the level's place among all, so that it is the same in every trace of a family."""
    place = levels.index(level) if level in levels else crc32(level.encode())
    return COLOURS[place % len(COLOURS)]


def slots(slices: Iterable[Slice]) -> Iterator[tuple[int, Slice]]:
    """The slices of one worker in order of start, each with the first slot that is free by then."""
    busy_until: list[float] = []
    for each in sorted(slices, key=lambda each: (each.start, each.end)):
        slot = next((i for i, end in enumerate(busy_until) if end <= each.start + SAME_S), len(busy_until))
        busy_until[slot : slot + 1] = [each.end]
        yield slot, each


def _slices(schedule: Schedule) -> Iterator[Event]:
    by_worker: dict[tuple[str, str], list[Slice]] = defaultdict(list)
    for each in schedule.slices:
        by_worker[each.device, each.worker].append(each)
    devices = {device: SCHEDULER + 1 + i for i, device in enumerate(sorted({device for device, _ in by_worker}))}
    for device, pid in devices.items():
        yield _name("process", pid, 0, device)
    threads: dict[tuple[str, str, int], int] = {}
    for device, worker in sorted(by_worker):
        pid = devices[device]
        for slot, each in slots(by_worker[device, worker]):
            track = device, worker, slot
            if track not in threads:
                threads[track] = len(threads) + 1
                yield _name("thread", pid, threads[track], f"{worker} · {slot + 1}" if slot else worker)
            yield _complete(each, pid, threads[track], schedule.levels)


def _complete(each: Slice, pid: int, tid: int, levels: Sequence[str]) -> Event:
    return {
        **{"ph": "X", "name": each.name, "cat": "load" if each.level is None else "request", "pid": pid, "tid": tid},
        **{"ts": _us(each.start), "dur": max(0, _us(each.end) - _us(each.start))},
        "cname": LOADING if each.level is None else colour(each.level, levels),
        "args": dict(each.args),
    }


def _ticks(ticks: Sequence[Tick]) -> Iterator[Event]:
    for tick in ticks:
        args = {"epoch": tick.epoch, **tick.args}
        base = {"ph": "i", "s": "g", "name": f"plan {tick.epoch}", "cat": "tick", "pid": SCHEDULER, "tid": 0}
        yield {**base, "ts": _us(tick.at), "args": args}


def _waiting(waiting: Sequence[tuple[float, Mapping[str, int]]]) -> Iterator[Event]:
    for at, counts in waiting:
        base = {"ph": "C", "name": "waiting", "pid": SCHEDULER, "tid": 0}
        yield {**base, "ts": _us(at), "args": dict(counts)}


def _name(kind: str, pid: int, tid: int, name: str) -> Event:
    return {"ph": "M", "name": f"{kind}_name", "pid": pid, "tid": tid, "args": {"name": name}}


def _us(seconds: float) -> int:
    return round(1e6 * seconds)
