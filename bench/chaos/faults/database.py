"""PostgreSQL restarted and killed; connections ended; answers cut, refused or held by the proxy in front of it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from random import Random

import psutil
import psycopg2

from bench.chaos.fault import Body, Fault, Hit, fault
from bench.chaos.faults.processes import send
from bench.chaos.proxy import Cut
from bench.chaos.site import Site

FAMILY = "database"
NAME = "postgres"
CUT_S = 6.0  # how long the statement to be cut is waited for
OURS_SHOWN = " argus "  # of the process: `postgres: argus_app argus 127.0.0.1(…) idle`
OURS = "application_name = 'argus' AND pid <> pg_backend_pid()"


def signalled(number: signal.Signals) -> Body:
    def body(site: Site, rng: Random) -> Iterator[Hit]:
        yield Hit("postmaster", send(site.pids()[NAME], number))

    return body


def backend_killed(site: Site, rng: Random) -> Iterator[Hit]:
    try:
        backends = [each for each in psutil.Process(site.pids()[NAME]).children() if _serves_argus(each)]
    except psutil.Error:
        backends = []
    yield Hit("a backend", bool(backends) and send(rng.choice(backends).pid, signal.SIGKILL))


def _serves_argus(process: psutil.Process) -> bool:
    try:
        return OURS_SHOWN in " ".join(process.cmdline())
    except psutil.Error:
        return False


def terminated(most: int) -> Body:
    def body(site: Site, rng: Random) -> Iterator[Hit]:
        order = "state = 'active' DESC, random()"
        chosen = f"SELECT pid FROM pg_stat_activity WHERE {OURS} ORDER BY {order} LIMIT {most}"
        try:
            ended = site.ask(f"SELECT pg_terminate_backend(pid) FROM ({chosen}) AS chosen")
        except psycopg2.Error:
            ended = []
        yield Hit(f"{len(ended)} connections", bool(ended))

    return body


def cut(marker: bytes | None, most: int) -> Body:
    """Answers cut on their way: the client cannot know whether its COMMIT (None: any statement) was carried out."""

    def body(site: Site, rng: Random) -> Iterator[Hit]:
        site.proxy.cut = armed = Cut(marker, most)
        end = time.monotonic() + CUT_S
        while armed.left and time.monotonic() < end:
            time.sleep(0.05)
        site.proxy.cut = None
        yield Hit(f"{armed.done} answers", armed.done > 0)

    return body


def dropped(site: Site, rng: Random) -> Iterator[Hit]:
    count = site.proxy.drop()
    yield Hit(f"{count} connections", count > 0)


def refused(site: Site, rng: Random) -> Iterator[Hit]:
    site.proxy.refusing = True
    site.proxy.drop()
    try:
        yield Hit("new connections")
    finally:
        site.proxy.refusing = False


def held(site: Site, rng: Random) -> Iterator[Hit]:
    site.proxy.flow(False)
    try:
        yield Hit("all connections")
    finally:
        site.proxy.flow(True)


FAULTS: list[Fault] = [
    fault("postgres restarted", FAMILY, signalled(signal.SIGINT)),
    fault("postgres stopped at once", FAMILY, signalled(signal.SIGQUIT), weight=0.5),
    fault("postmaster killed", FAMILY, signalled(signal.SIGKILL)),
    fault("backend killed", FAMILY, backend_killed),
    fault("connections terminated", FAMILY, terminated(3), weight=6.0),
    fault("all connections terminated", FAMILY, terminated(1000), weight=2.0),
    fault("COMMIT of an image cut", FAMILY, cut(b"INSERT INTO image", 2), weight=8.0),
    fault("COMMIT of a job cut", FAMILY, cut(b"INSERT INTO job", 1), weight=8.0),
    fault("COMMIT of a request's state cut", FAMILY, cut(b"UPDATE request", 2), weight=8.0),
    fault("statements cut", FAMILY, cut(None, 5), weight=8.0),
    fault("all connections dropped", FAMILY, dropped, weight=4.0),
    fault("database out of reach", FAMILY, refused, (1.0, 6.0), weight=2.0),
    fault("database hangs", FAMILY, held, (1.0, 8.0), weight=2.0),
]
