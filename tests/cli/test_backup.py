"""A backup of a home folder comes back in another, on PostgreSQL of its own, with the commands that the page names."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
from alembic import command
from click.testing import CliRunner, Result

from cli.backup import database
from cli.main import argus
from core.database import alembic_config, migrate, pending
from core.settings import ROOT, settings
from tests.core.test_migrations import counts, fill


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """`at("a")`: from now on settings are those of a home folder of this name; the folder."""
    for name in ("ARGUS_DATABASE_URL", "ARGUS_BROKER_URL", "ARGUS_MIGRATION_URL"):
        monkeypatch.delenv(name, raising=False)
    with tempfile.TemporaryDirectory(prefix="argus-test-backup-") as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs under an id of its own

        def go(name: str) -> Path:
            monkeypatch.setenv("ARGUS_HOME", f"{folder}/{name}")
            settings.cache_clear()
            return Path(folder) / name

        yield go
    monkeypatch.undo()
    settings.cache_clear()


def run(*words: object) -> Result:
    return CliRunner().invoke(argus, [str(word) for word in words])


def address() -> str:
    with database() as url:
        return str(url.render_as_string(hide_password=False))


def filled(home: Path) -> dict[str, int]:
    """A row in each table, and an image's file."""
    with database() as url:
        owner = url.render_as_string(hide_password=False)
        migrate(owner)
        fill(owner)
        found = counts(owner)
    (home / "images" / "ab").mkdir(parents=True)
    (home / "images" / "ab" / "k.png").write_bytes(b"\x89PNG of a red apple")
    (home / "profiles").mkdir()
    (home / "profiles" / "cpu.json").write_text("{}")
    return found


def test_everything_is_there_in_an_empty_home_and_argus_may_go_on_with_it(at: Callable[[str], Path]) -> None:
    before = filled(at("old"))
    saved = at("old").parent / "saved"
    assert run("backup", saved).exit_code == 0
    home = at("new")
    restored = run("restore", saved)
    assert restored.exit_code == 0, restored.output
    with database() as url:
        owner = url.render_as_string(hide_password=False)
        assert counts(owner) == before
        assert pending(owner) == []
        word = (home / "run" / "argus_app.password").read_text()
        app = url.set(username="argus_app", password=word).render_as_string(hide_password=False)
        with psycopg2.connect(app) as connection, connection.cursor() as cursor:
            cursor.execute("UPDATE request SET state = 'done' RETURNING prompt")
            assert cursor.fetchall() == [("a red apple",)]
            cursor.execute("INSERT INTO plan (policy, status, observed, decided, reason, seconds, in_force) "
                           "VALUES ('argus', 'x', '{}', '{}', 'r', 0, false) RETURNING epoch")  # fmt: skip
            assert cursor.fetchone() == (before["plan"] + 1,)
        connection.close()
    assert (home / "images" / "ab" / "k.png").read_bytes() == b"\x89PNG of a red apple"
    assert (home / "profiles" / "cpu.json").read_text() == "{}"


def test_a_backup_of_the_version_before_is_brought_to_the_newest_schema(at: Callable[[str], Path]) -> None:
    before = filled(at("old"))
    with database() as url:
        config = alembic_config()
        config.attributes["url"] = url.render_as_string(hide_password=False)
        command.downgrade(config, "0014")
    saved = at("old").parent / "saved"
    assert run("backup", saved).exit_code == 0
    at("new")
    assert run("restore", saved).exit_code == 0
    with database() as url:
        owner = url.render_as_string(hide_password=False)
        assert pending(owner) == []
        assert counts(owner) == before


def test_nothing_that_is_there_is_written_over(at: Callable[[str], Path]) -> None:
    filled(at("old"))
    saved = at("old").parent / "saved"
    assert run("backup", saved).exit_code == 0
    again, into_itself = run("backup", saved), run("restore", saved)
    assert (again.exit_code, into_itself.exit_code) == (1, 1)
    assert "is not empty" in again.output
    assert "has jobs" in into_itself.output


def test_the_page_names_these_commands() -> None:
    page = (ROOT / "docs" / "upgrade.md").read_text()
    assert "argus backup " in page
    assert "argus restore " in page
