"""What benchmarks share: an Argus of their own, whole or in parts, as `argus up` runs it, and the record of a run."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.live.instance import call
from bench.live.machine import commit
from cli.processes import ARGUS, answers
from core.client import ArgusClient
from core.database import forget_connections, migrate
from core.ports import free_port
from core.postgres import Roles, make_roles, postgres
from core.services import valkey
from core.settings import settings
from core.supervisor import Child, Supervisor


def environ(home: Path) -> dict[str, str]:
    """Settings of the run: ports and a home of its own, everything else as a newcomer has it."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("ARGUS_")}
    own = {"ARGUS_HOME": home, "ARGUS_PORT": free_port(), "ARGUS_FLOWER_PORT": free_port()}
    return {**others, **{name: str(value) for name, value in own.items()}}


@contextmanager
def own_home(name: str) -> Iterator[Path]:
    """A folder that goes afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"argus-{name}-") as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs as another user
        yield Path(folder)


@contextmanager
def own_argus(home: Path, own: dict[str, str] | None = None) -> Iterator[ArgusClient]:
    """An Argus that has drawn its first job, stopped afterwards; `own` are its settings where the caller needs them."""
    own = own or environ(home)
    call(["up", "--detach"], own)
    try:
        yield ArgusClient(f"http://127.0.0.1:{own['ARGUS_PORT']}")
    finally:
        call(["down"], own)


@dataclass(frozen=True)
class Services:
    """PostgreSQL, migrated, and Valkey; `supervisor` runs them, and what is started beside them."""

    home: Path
    supervisor: Supervisor
    superuser_url: str
    roles: Roles
    broker_url: str

    @property
    def database_url(self) -> str:
        """As Argus itself connects."""
        return self.roles.app

    def environ(self) -> dict[str, str]:
        """Settings that point a process at them."""
        return {
            "ARGUS_HOME": str(self.home),
            "ARGUS_DATABASE_URL": self.database_url,
            "ARGUS_BROKER_URL": self.broker_url,
        }

    def web(self) -> str:
        """The address of a web process of Argus that is started."""
        port = free_port()
        url, env = f"http://127.0.0.1:{port}", {**self.environ(), "ARGUS_PORT": str(port)}
        web = Child("web", [*ARGUS, "run", "web"], env=env, ready=lambda: answers(f"{url}/healthz"))
        self.supervisor.start(web)
        return url


@contextmanager
def own_services(home: Path) -> Iterator[Services]:
    """PostgreSQL and Valkey in a home of their own, stopped afterwards with what was started beside them."""
    supervisor = Supervisor(home / "logs")
    try:
        (database, superuser), (broker, broker_url) = postgres(home), valkey(home)
        supervisor.start(database)
        supervisor.start(broker)
        roles = make_roles(home, superuser)
        migrate(roles.owner)
        yield Services(home, supervisor, superuser, roles, broker_url)
    finally:
        forget_connections()
        supervisor.stop()


@contextmanager
def own_database(home: Path) -> Iterator[Services]:
    """The same, and this process works in that database, as its superuser."""
    with own_services(home) as services:
        os.environ |= {"ARGUS_HOME": str(home), "ARGUS_DATABASE_URL": services.superuser_url}
        settings.cache_clear()
        yield services


def peak_mb(pid: int) -> float:
    """The most resident memory that a process has had, or since its mark was set back, in MB (VmHWM)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1e6


def run_of(module: str, **more: Any) -> dict[str, Any]:
    """What a page says of a run, asked when it begins: the command, when, of which code, beside how much else."""
    return {
        "command": "python -m " + " ".join([module, *sys.argv[1:]]),
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": commit(),
        "load_before": os.getloadavg()[0],
        **more,
    }


def keep(found: dict[str, Any], kept: Path, page: Path, text: str) -> None:
    """Write figures for programs and the page for people."""
    kept.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    page.write_text(text, encoding="utf-8")
