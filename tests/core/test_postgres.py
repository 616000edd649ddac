"""The PostgreSQL of `argus up`: who may do what, under which id it runs, and homes that an earlier version made."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege

from core.database import migrate
from core.home import make_private
from core.postgres import Roles, give, make_roles, postgres
from core.settings import settings
from core.supervisor import Supervisor

JOB = "INSERT INTO job (id, family, source, service_class, size) SELECT gen_random_uuid(), '{}', 'api', 'batch', 1"
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs processes under other ids")


@contextmanager
def running(home: Path) -> Iterator[tuple[Supervisor, str]]:
    """A server of this home folder and the address of its superuser."""
    supervisor = Supervisor(home / "logs")
    child, superuser = postgres(home)
    try:
        supervisor.start(child)
        yield supervisor, superuser
    finally:
        supervisor.stop()


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="argus-test-") as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs under an id of its own
        yield Path(folder)


def ask(url: str, statement: str) -> Any:
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()


def test_the_application_is_no_superuser_and_changes_rows_but_no_tables(services: Any) -> None:
    rights = "SELECT rolname, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls FROM pg_roles"
    mine = f"{rights} WHERE rolname IN (current_user, 'argus_owner') ORDER BY 1"
    assert ask(services.database_url, mine) == [("argus_app", False), ("argus_owner", False)]
    ask(services.database_url, JOB.format("f"))
    ask(services.database_url, "DELETE FROM job WHERE family = 'f'")
    forbidden = (
        "CREATE TABLE mine (x int)",
        "DROP TABLE request",
        "TRUNCATE request",
        "ALTER TABLE request ADD COLUMN x int",
        "CREATE TEMPORARY TABLE mine (x int)",
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT rolpassword FROM pg_authid",
        "CREATE ROLE another SUPERUSER",
    )
    for statement in forbidden:
        with pytest.raises(InsufficientPrivilege):
            ask(services.database_url, statement)


def owners(url: str) -> set[str]:
    """Roles that own tables, views, sequences and functions of Argus."""
    relations = "SELECT relowner AS owner, oid FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    routines = "SELECT proowner, oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    own = "NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = x.oid AND d.deptype = 'e')"
    found = ask(url, f"SELECT DISTINCT owner::regrole::text FROM ({relations} UNION {routines}) x WHERE {own}")
    return {owner for (owner,) in found}


def as_an_earlier_version_left_it(home: Path) -> None:
    """Everything belongs to the superuser `argus` and, as root, to `nobody`; there is a row."""
    with running(home) as (_, superuser):
        ask(superuser, "CREATE EXTENSION vector")
        migrate(superuser)
        ask(superuser, JOB.format("kept"))
        assert owners(superuser) == {"argus"}
    if os.geteuid() == 0:
        give(home / "postgres", pwd.getpwnam("nobody").pw_uid)


def test_a_home_of_an_earlier_version_keeps_its_rows_and_gets_roles_and_owner(home: Path) -> None:
    as_an_earlier_version_left_it(home)
    for _ in range(2):  # the second start changes nothing
        with running(home) as (_, superuser):
            roles = make_roles(home, superuser)
            migrate(roles.owner)
            assert owners(superuser) == {"argus_owner"}
            assert ask(roles.app, "SELECT family FROM job") == [("kept",)]
            ask(roles.app, "UPDATE latent_total SET bytes = bytes")
            ask(roles.owner, "ALTER TABLE job ADD COLUMN next int; ALTER TABLE job DROP COLUMN next")


def test_what_a_migration_makes_the_application_may_use(home: Path) -> None:
    with running(home) as (_, superuser):
        roles: Roles = make_roles(home, superuser)
        migrate(roles.owner)
        ask(roles.owner, "CREATE TABLE later (id serial, x int)")
        ask(roles.app, "INSERT INTO later (x) VALUES (1)")
        assert ask(roles.app, "SELECT id, x FROM later") == [(1, 1)]


@ROOT_ONLY
def test_as_root_it_runs_under_an_id_of_its_own_that_has_no_other_file(home: Path) -> None:
    with running(home) as (supervisor, _):
        process = psutil.Process(supervisor.pids()["postgres"])
        assert set(process.uids()) == set(process.gids()) == {settings().postgres_uid}
        assert process.uids().real != pwd.getpwnam("nobody").pw_uid
    belongings = {path.lstat().st_uid for path in (home / "postgres").rglob("*")}
    assert belongings == {settings().postgres_uid}
    assert {path.lstat().st_uid for path in (home / "run").iterdir()} == {0}
    assert {stat.S_IMODE(path.lstat().st_mode) for path in (home / "run").iterdir()} == {0o600}


@ROOT_ONLY
def test_it_starts_and_gets_a_new_password_in_a_home_that_is_closed_to_others(home: Path) -> None:
    closed, umask = home / "home", os.umask(0o022)
    try:
        make_private(closed, settings().postgres_uid)
        with running(closed) as (_, superuser):
            assert ask(superuser, "SELECT 1") == [(1,)]
        (closed / "run" / "postgres.password").unlink()
        with running(closed) as (_, superuser):
            assert ask(superuser, "SELECT 1") == [(1,)]
    finally:
        os.umask(umask)


def test_it_is_replaced_when_its_successor_answers(home: Path) -> None:
    with running(home) as (supervisor, superuser):
        ask(superuser, "CREATE TABLE kept (x int)")
        first = supervisor.pids()["postgres"]
        supervisor.replace("postgres")
        end = time.monotonic() + 60
        while not supervisor.is_replaced("postgres") and time.monotonic() < end:
            supervisor.watch_once()
            time.sleep(0.05)
        assert supervisor.pids()["postgres"] != first
        assert ask(superuser, "SELECT count(*) FROM kept") == [(0,)]


def test_a_password_that_was_lost_with_its_folder_is_made_again(home: Path) -> None:
    with running(home) as (_, superuser):
        ask(superuser, "CREATE TABLE kept (x int)")
    shutil.rmtree(home / "run")
    with running(home) as (_, superuser):
        assert ask(superuser, "SELECT count(*) FROM kept") == [(0,)]
