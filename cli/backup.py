"""`argus backup` and `argus restore`: what cannot be made again, in a folder: database, images, measurements."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.lock import lock_is_free, only_one
from cli.terminal import JSON_OUT, make_console, shows_table, write_json
from core.errors import Conflict, ServiceDown
from core.settings import settings

if TYPE_CHECKING:
    from sqlalchemy import URL

DUMP = "database.dump"
FOLDERS = ("images", "profiles", "calibration", "evaluations")  # of the home folder
DUMPED = ("--format=custom", "--no-owner", "--no-privileges", "--exclude-extension=*")
RESTORED = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error")


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "out", type=JSON_OUT, help="Write what was written as JSON (- is stdout).")
def backup(folder: Path, out: Path | None) -> None:
    """Write database, images and measurements into FOLDER.

    The folder is new or empty. Argus may run meanwhile: the database is of one moment, and images come after it, so
    that every row has its file.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with database() as address:
        use_postgres("pg_dump", address, [*DUMPED, f"--file={folder / DUMP}"])
    for name in FOLDERS:
        if (settings().home / name).is_dir():
            shutil.copytree(settings().home / name, folder / name)
    write_json(out, {"folder": str(folder), "images_elsewhere": settings().images or None})
    console = make_console(stderr=not shows_table(out))
    console.print(f"Written to {folder}.", soft_wrap=True, highlight=False)
    if settings().images:
        console.print(f"Images are at {settings().images} and not in it: back that up after this.", soft_wrap=True)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "out", type=JSON_OUT, help="Write what was restored as JSON (- is stdout).")
def restore(folder: Path, out: Path | None) -> None:
    """Put a backup into a home folder that has no jobs.

    It is of the same version of Argus or an older one, which must not run. The schema is brought to the newest
    afterwards.
    """
    from core.database import migrate

    if not lock_is_free():
        raise Conflict("Argus runs here: stop it first (`argus down`).")
    with database() as address:
        url = address.render_as_string(hide_password=False)
        if jobs(url):
            raise Conflict("This database has jobs; a backup goes into an empty home.")
        use_postgres("pg_restore", address, [*RESTORED, f"--dbname={address.database}", str(folder / DUMP)])
        migrate(url)
    for name in FOLDERS:
        if (folder / name).is_dir():
            shutil.copytree(folder / name, settings().home / name, dirs_exist_ok=True)
    write_json(out, {"folder": str(folder)})
    make_console(stderr=not shows_table(out)).print(f"Restored from {folder}.", soft_wrap=True, highlight=False)


@contextmanager
def database() -> Iterator[URL]:
    """Address of the database for its owner; where Argus does not run, its own PostgreSQL runs meanwhile."""
    from sqlalchemy import make_url

    from core.home import make_private
    from core.postgres import make_roles, postgres, unprivileged
    from core.services import migration_url
    from core.supervisor import Supervisor

    home = settings().home.absolute()
    if settings().database_url or settings().migration_url or not lock_is_free():
        yield make_url(migration_url())
        return
    make_private(home, unprivileged())
    with only_one():
        supervisor = Supervisor(home / "logs")
        try:
            child, superuser = postgres(home)
            supervisor.start(child)
            yield make_url(make_roles(home, superuser).owner)
        finally:
            supervisor.stop()


def use_postgres(program: str, address: URL, words: Sequence[str]) -> None:
    """Run a program of PostgreSQL's on a database; raises `ServiceDown` with what it said.

    The password goes by the environment: arguments can be read by everybody.
    """
    from core.postgres import client_variables, postgres_binaries

    known = client_variables(address.render_as_string(hide_password=False))
    done = subprocess.run(
        [str(postgres_binaries() / program), *words], env={**os.environ, **known}, capture_output=True, text=True
    )
    if done.returncode:
        raise ServiceDown(f"{program} failed: {done.stderr.strip()}")


def jobs(url: str) -> bool:
    """Whether a database has jobs already."""
    from sqlalchemy import create_engine, text

    from core.database import sqlalchemy_url

    engine = create_engine(sqlalchemy_url(url))
    with engine.connect() as connection:
        known = connection.execute(text("SELECT to_regclass('job')")).scalar_one_or_none()
        found = bool(known and connection.execute(text("SELECT EXISTS (SELECT FROM job)")).scalar_one())
    engine.dispose()
    return found
