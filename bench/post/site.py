"""What the submissions are sent to beside a web process: the least that a submission could be, and its table."""

from __future__ import annotations

import socket
import sys

import psycopg2

from bench.own import Services
from core.ports import LOOPBACK, free_port
from core.settings import ROOT
from core.supervisor import Child

TABLE = "CREATE TABLE bench_empty (id uuid PRIMARY KEY, prompt text, at timestamptz NOT NULL DEFAULT now())"


def empty(services: Services) -> str:
    """The address of the least that a submission could be (`bench.post.empty`), which is started."""
    with psycopg2.connect(services.roles.owner) as connection, connection.cursor() as cursor:
        cursor.execute(TABLE)
    connection.close()
    port = free_port()
    words = [sys.executable, "-m", "bench.post.empty", str(port)]
    env = {**services.environ(), "PYTHONPATH": str(ROOT)}
    services.supervisor.start(Child("empty", words, env=env, ready=lambda: _listens(port)))
    return f"http://{LOOPBACK}:{port}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
