"""Processes killed and stopped.

The supervisor of `argus up` is killed with all it runs, and started again after `RESTART_S` seconds: the harness stands
in for systemd or Docker there, which do not run here (`docs/operating.md`).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from random import Random

from bench.chaos.fault import Body, Fault, Hit, fault
from bench.chaos.site import Site

FAMILY = "processes"
NAMES = ("worker-cpu0", "worker-cpu1", "scheduler", "web", "beat", "quality", "flower")
LEASE_S = (16.0, 22.0)  # longer than a worker may be silent (ARGUS_STALE_S)
RESTART_S = 1.0  # RestartSec of deploy/systemd


def send(pid: int, number: signal.Signals) -> bool:
    """Whether the process was there to be signalled."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False


def killed(name: str) -> Body:
    def body(site: Site, rng: Random) -> Iterator[Hit]:
        yield Hit(name, send(site.pids()[name], signal.SIGKILL))

    return body


def stopped(name: str) -> Body:
    def body(site: Site, rng: Random) -> Iterator[Hit]:
        pid = site.pids()[name]
        met = send(pid, signal.SIGSTOP)
        try:
            yield Hit(name, met)
        finally:
            send(pid, signal.SIGCONT)

    return body


def worker_stopped(site: Site, rng: Random) -> Iterator[Hit]:
    yield from stopped(rng.choice(NAMES[:2]))(site, rng)


def both_workers_killed(site: Site, rng: Random) -> Iterator[Hit]:
    pids = site.pids()
    yield Hit("both workers", sum(send(pids[name], signal.SIGKILL) for name in NAMES[:2]) == 2)


def supervisor_stopped(site: Site, rng: Random) -> Iterator[Hit]:
    pid = site.supervisor()
    met = send(pid, signal.SIGSTOP)
    try:
        yield Hit("argus up", met)
    finally:
        send(pid, signal.SIGCONT)


def supervisor_killed(site: Site, rng: Random) -> Iterator[Hit]:
    met = send(site.supervisor(), signal.SIGKILL)
    try:
        yield Hit("argus up", met)
    finally:
        time.sleep(RESTART_S)
        site.start_again()


FAULTS: list[Fault] = [
    *(fault(f"{name} killed", FAMILY, killed(name), weight=4.0) for name in NAMES),
    *(fault(f"{name} stopped", FAMILY, stopped(name), (1.0, 6.0), weight=2.0) for name in NAMES),
    fault("worker stopped past its lease", FAMILY, worker_stopped, LEASE_S, weight=0.5),
    fault("both workers killed", FAMILY, both_workers_killed, weight=0.5),
    fault("supervisor stopped", FAMILY, supervisor_stopped, (1.0, 5.0)),
    fault("supervisor killed", FAMILY, supervisor_killed, weight=0.5),
]
