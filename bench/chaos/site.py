"""The Argus under fire: its folder, PostgreSQL behind a proxy, stores on file systems of their own, `argus up`."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import redis

from bench.chaos.clock import Clock
from bench.chaos.proxy import Proxy
from bench.chaos.volume import Volume
from bench.live.instance import call, children, environ, until_planned
from core.client import ArgusClient
from core.postgres import make_roles, postgres
from core.settings import ROOT
from core.supervisor import Supervisor

WATCH_S = 0.5  # as `argus up` looks after its children
EMBEDDED = ROOT / "families" / "embedded"


@dataclass(frozen=True)
class Site:
    """What faults are injected into. `url` is PostgreSQL's own address, past the proxy."""

    home: Path
    settings: dict[str, str]
    url: str
    proxy: Proxy
    images: Volume
    latents: Volume
    weights: Path
    clock: Clock
    services: Supervisor
    broker_url: str = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.settings['ARGUS_PORT']}"

    def pids(self) -> dict[str, int]:
        """Process ids by name: what `argus up` runs, and PostgreSQL."""
        return {**children(self.home), **self.services.pids()}

    def supervisor(self) -> int:
        """Process id of `argus up`."""
        return int(json.loads((self.home / "run" / "argus.json").read_text())["pid"])

    def start_again(self) -> None:
        """Start `argus up` as a service manager would, once it has ended; returns when it is up."""
        call(["up", "--detach", "--no-first-job"], self.settings)

    def broker(self) -> redis.Redis:
        """A client of the broker; who asks it while it is away gets an error."""
        return redis.Redis.from_url(self.broker_url, socket_timeout=10, socket_connect_timeout=2)

    def ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of a statement, past the proxy."""
        connection = psycopg2.connect(self.url, connect_timeout=5)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return list(cursor.fetchall())
        finally:
            connection.close()


@contextmanager
def site(home: Path, family: Path | None, more: dict[str, str]) -> Iterator[Site]:
    """An Argus that runs and has a plan, stopped at the end; its rows, files and logs are left.

    Args:
        family: a family's file with its weights beside it; None: a copy of the embedded family.
        more: settings besides.
    """
    family = family or _copied_family(home)
    services, images, latents = Supervisor(home / "logs"), Volume(home, "images"), Volume(home, "latents")
    child, url = postgres(home)
    proxy, clock = Proxy(int(url.rpartition(":")[2].partition("/")[0])), Clock(home)
    try:
        services.start(child)
        proxy.start()
        for volume in (images, latents):
            volume.create()
        roles = make_roles(home, url)
        through = roles.app.replace(f":{proxy.server_port}/", f":{proxy.port}/")
        databases = {"DATABASE_URL": through, "MIGRATION_URL": roles.owner}
        own = {**databases, "FAMILY": family, "IMAGES": images.link, "LATENTS": latents.link}
        settings = environ(home, "argus", 0.0) | {f"ARGUS_{name}": str(value) for name, value in own.items()}
        about = Site(
            home, settings | clock.environ() | more, url, proxy, images, latents, family.parent, clock, services
        )
        with _watched(services), _up(about):
            broker = json.loads((home / "run" / "services.json").read_text())["broker_url"]
            yield replace(about, broker_url=broker)
    finally:
        services.stop()
        proxy.stop()
        for volume in (images, latents):
            volume.remove()


@contextmanager
def _up(about: Site) -> Iterator[None]:
    try:
        about.start_again()
        until_planned(ArgusClient(about.address))
        yield
    finally:
        call(["down"], about.settings)


@contextmanager
def _watched(services: Supervisor) -> Iterator[None]:
    """PostgreSQL is started again when it ends, by the same supervisor that Argus has."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(WATCH_S):
            services.watch_once()
        services.stop()  # in this thread: what it started ends with it

    thread = threading.Thread(target=watch, name="watch")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _copied_family(home: Path) -> Path:
    """The embedded family with weights that may be damaged."""
    weights = home / "family"
    shutil.copytree(EMBEDDED / "weights", weights)
    file = weights / "embedded.toml"
    text = EMBEDDED.with_suffix(".toml").read_text()
    file.write_text(text.replace('"families/embedded/weights/', f'"{weights}/'))
    return file


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False
