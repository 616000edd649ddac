"""What the submissions are sent to: PostgreSQL, Valkey and a web process, as `argus up` runs them, and nothing else."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from cli.processes import ARGUS, answers
from core.database import migrate
from core.ports import free_port
from core.postgres import make_roles, postgres
from core.services import valkey
from core.settings import ROOT, settings
from core.supervisor import Child, Supervisor

TABLE = "CREATE TABLE bench_empty (id uuid PRIMARY KEY, prompt text, at timestamptz NOT NULL DEFAULT now())"


class Site:
    """Services that run, and what is started beside them."""

    def __init__(self, supervisor: Supervisor, env: dict[str, str]) -> None:
        self._supervisor, self.env = supervisor, env

    def web(self, **more: str) -> str:
        """The address of a web process of Argus; settings are added by name (`ARGUS_…`)."""
        port = free_port()
        health = f"http://127.0.0.1:{port}/healthz"
        env = {**self.env, "ARGUS_PORT": str(port), **more}
        self._supervisor.start(Child("web", [*ARGUS, "run", "web"], env=env, ready=lambda: answers(health)))
        return f"http://127.0.0.1:{port}"

    def empty(self) -> str:
        """The address of the least that a submission could be (`bench.post.empty`)."""
        port = free_port()
        words = [sys.executable, "-m", "bench.post.empty", str(port)]
        env = {**self.env, "PYTHONPATH": str(ROOT)}
        self._supervisor.start(Child("empty", words, env=env, ready=lambda: _listens(port)))
        return f"http://127.0.0.1:{port}"


@contextmanager
def site(home: Path) -> Iterator[Site]:
    """Services in a home of their own, stopped afterwards; the settings of this process point at them."""
    supervisor = Supervisor(home / "logs")
    try:
        database, superuser = postgres(home)
        broker, broker_url = valkey(home)
        supervisor.start(database)
        supervisor.start(broker)
        roles = make_roles(home, superuser)
        migrate(roles.owner)
        with psycopg2.connect(roles.owner) as connection, connection.cursor() as cursor:
            cursor.execute(TABLE)
        connection.close()
        yield Site(
            supervisor,
            {"ARGUS_HOME": str(home), "ARGUS_DATABASE_URL": roles.app, "ARGUS_BROKER_URL": broker_url},
        )
    finally:
        supervisor.stop()
        settings.cache_clear()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
