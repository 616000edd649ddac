"""Valkey stopped, killed, frozen, emptied, without its folder; its connections killed, broadcasts lost."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from random import Random

import redis

from bench.chaos.fault import Body, Fault, Hit, fault
from bench.chaos.faults.processes import send, stopped
from bench.chaos.site import Site

FAMILY = "broker"
NAME = "valkey"


def signalled(number: signal.Signals) -> Body:
    def body(site: Site, rng: Random) -> Iterator[Hit]:
        yield Hit(NAME, send(site.pids()[NAME], number))

    return body


def command(*words: object) -> Body:
    """A command of the broker's own; a broker that is away meets nothing."""

    def body(site: Site, rng: Random) -> Iterator[Hit]:
        try:
            with site.broker() as client:
                met = bool(client.execute_command(*words))
        except redis.RedisError:
            met = False
        yield Hit(" ".join(map(str, words)), met)

    return body


def folder_deleted(site: Site, rng: Random) -> Iterator[Hit]:
    shutil.rmtree(site.home / NAME, ignore_errors=True)
    yield Hit("its folder, then killed", send(site.pids()[NAME], signal.SIGKILL))


FAULTS: list[Fault] = [
    fault("valkey stopped", FAMILY, signalled(signal.SIGTERM)),
    fault("valkey killed", FAMILY, signalled(signal.SIGKILL)),
    fault("valkey frozen", FAMILY, stopped(NAME), (1.0, 8.0), weight=2.0),
    fault("valkey emptied", FAMILY, command("FLUSHALL"), weight=4.0),
    fault("valkey's folder deleted", FAMILY, folder_deleted),
    fault("valkey's clients paused", FAMILY, command("CLIENT", "PAUSE", 4000, "ALL"), (4.0, 4.0), weight=2.0),
    fault("valkey's connections killed", FAMILY, command("CLIENT", "KILL", "TYPE", "normal"), weight=4.0),
    fault("broadcasts lost", FAMILY, command("CLIENT", "KILL", "TYPE", "pubsub"), (0.0, 1.0), weight=6.0),
]
