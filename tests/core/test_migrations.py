"""Migrations on a database that has rows, there and back, and in halves around an upgrade."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from click.testing import CliRunner
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.orm import sessionmaker

from cli.main import argus
from core.database import alembic_config, migrate, newest_schema, pending, sqlalchemy_url
from core.settings import ROOT, settings
from core.tables import Assignment, Attempt, Image, Job, Plan, Request, Score, State, Worker
from tests.conftest import environment

LATENT = """
INSERT INTO cached_latent (family, model, version, width, height, steps, scheduler, k, embedding, key, bytes, uses)
SELECT 'f', 'm', '1', 8, 8, 9, 's', {k}, array_fill(0.1, ARRAY[384])::vector::halfvec(384), '{key}', 100, {uses}
"""


@pytest.fixture
def url(services: Any) -> Iterator[str]:
    """An empty database beside the one of the other tests."""
    name, server = "argus_migrations", services.superuser_url
    with create_engine(sqlalchemy_url(server), isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield server.rsplit("/", 1)[0] + f"/{name}"
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def to(url: str, revision: str) -> None:
    config = alembic_config()
    config.attributes["url"] = url
    lacking = {number for number, _ in pending(url)}
    (command.upgrade if revision in lacking else command.downgrade)(config, revision)


def totals(connection: Connection) -> tuple[int, int]:
    row = connection.execute(text("SELECT entries, bytes FROM latent_total")).one()
    return row.entries, row.bytes


def test_cached_latents_keep_their_count_and_what_they_saved(url: str) -> None:
    migrate(url)
    to(url, "0009")
    with create_engine(sqlalchemy_url(url)).begin() as connection:
        connection.execute(text(LATENT.format(k=4, key="a-4", uses=3)))
    to(url, "0010")
    with create_engine(sqlalchemy_url(url)).begin() as connection:
        connection.execute(text(LATENT.format(k=8, key="b-8", uses=0)))
        assert totals(connection) == (2, 200)
        saved = connection.execute(text("SELECT latent_id, steps_saved FROM latent_use ORDER BY latent_id"))
        assert [tuple(row) for row in saved] == [(1, 12), (2, 0)]
        connection.execute(text("UPDATE latent_use SET steps_saved = 16 WHERE latent_id = 2"))
        connection.execute(text("DELETE FROM cached_latent WHERE key = 'a-4'"))
        assert totals(connection) == (1, 100)
        assert connection.execute(text("SELECT count(*) FROM latent_use")).scalar_one() == 1
    to(url, "0009")
    with create_engine(sqlalchemy_url(url)).begin() as connection:
        assert connection.execute(text("SELECT uses FROM cached_latent")).scalar_one() == 2
        connection.execute(text("SELECT * FROM report_level, report_minute, report_request"))
    to(url, "0010")
    with create_engine(sqlalchemy_url(url)).begin() as connection:
        connection.execute(text("TRUNCATE cached_latent"))
        assert totals(connection) == (0, 0)
        assert connection.execute(text("SELECT count(*) FROM latent_use")).scalar_one() == 0


FIRST_NAMED = "0015"  # from here on a name says which half of an upgrade a migration belongs to


def test_names_say_which_half_a_migration_belongs_to() -> None:
    names = sorted(path.stem for path in (ROOT / "migrations" / "versions").glob("[0-9]*.py"))
    later = [name for name in names if name >= FIRST_NAMED]
    assert later
    assert [name for name in later if not re.match(r"\d{4}_(pre|post)_[a-z0-9_]+$", name)] == []


COUNTED = ("job", "request", "attempt", "image", "score", "plan", "assignment", "worker")


def fill(url: str) -> None:
    """A row of each of the tables that hold what was asked and what became of it, by the tables of this version."""
    request = Request(
        position=0,
        family="f",
        prompt="a red apple",
        seed=1,
        width=64,
        height=64,
        steps=4,
        guidance=2.0,
        state=State.DONE,
        deadline_at=datetime.now(UTC),
    )
    maker = sessionmaker(create_engine(sqlalchemy_url(url)))
    with maker.begin() as session:
        session.add(Job(family="f", source="api", size=1, requests=[request]))
        session.add(Worker(name="w", boot=uuid.uuid4(), device="cpu:0", device_type="cpu", family="f", state="ready",
                           models=["m"], queues=["q"], stats={}))  # fmt: skip
        plan = Plan(family="f", policy="argus", status="optimal", observed={}, decided={}, reason="r", seconds=0.1)
        session.add(plan)
        session.flush()
        session.add(Assignment(epoch=plan.epoch, worker="w", models=["m"], queues=["q"], reason="r"))
        attempt = Attempt(request_id=request.id, number=1, worker="w", boot=uuid.uuid4(), level="exact", model="m")
        session.add(attempt)
        session.flush()
        image = Image(request_id=request.id, attempt_id=attempt.id, key="k", level="exact", model="m", width=64,
                      height=64, bytes=1, sha256="0" * 64, family_version="1")  # fmt: skip
        session.add(image)
        session.flush()
        session.add(Score(image_id=image.id, scorer="s", value=0.7))


def counts(url: str) -> dict[str, int]:
    with create_engine(sqlalchemy_url(url)).connect() as connection:
        return {table: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in COUNTED}


def test_a_filled_database_keeps_its_rows_down_to_the_version_before_and_up_again(url: str) -> None:
    migrate(url)
    fill(url)
    before = counts(url)
    assert set(before.values()) == {1}
    to(url, "0014")
    assert counts(url) == before
    reads = text("SELECT has_table_privilege('argus_report', 'request', 'SELECT')")
    with create_engine(sqlalchemy_url(url)).connect() as connection:
        assert connection.execute(reads).scalar_one()  # dashboards of that version do
    assert migrate(url) == []
    assert counts(url) == before
    with create_engine(sqlalchemy_url(url)).connect() as connection:
        assert not connection.execute(reads).scalar_one()
        assert connection.execute(text("SELECT format FROM assignment")).scalar_one() == 1
    assert pending(url) == []


MIGRATION = """
from alembic import op
revision, down_revision, branch_labels, depends_on = {revision!r}, {before!r}, None, None


def upgrade():
    op.execute("CREATE TABLE t{revision} (x int)")


def downgrade():
    op.execute("DROP TABLE t{revision}")
"""


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Three migrations after the newest: one of the half before an upgrade, one of that after, and one more before."""
    names, before = ["9001_pre_more", "9002_post_less", "9003_pre_later"], newest_schema()
    for name in names:
        revision = name.partition("_")[0]
        (tmp_path / f"{name}.py").write_text(MIGRATION.format(revision=revision, before=before))
        before = revision
    config = alembic_config()
    config.set_main_option("version_locations", f"{ROOT / 'migrations' / 'versions'}{os.pathsep}{tmp_path}")
    monkeypatch.setattr("core.database.alembic_config", lambda: config)
    return names


def test_the_half_before_an_upgrade_stops_at_the_first_that_has_to_wait(url: str, halves: list[str]) -> None:
    assert migrate(url, only_pre=True) == halves[1:]
    assert [name for _, name in pending(url)] == halves[1:]
    assert migrate(url, only_pre=True) == halves[1:]
    assert migrate(url) == []
    with create_engine(sqlalchemy_url(url)).connect() as connection:
        assert connection.execute(text("SELECT to_regclass('t9003')")).scalar_one() == "t9003"


def test_the_command_says_what_is_left_for_the_half_after(url: str, halves: list[str]) -> None:
    with environment({"ARGUS_MIGRATION_URL": url}):
        settings.cache_clear()
        said = CliRunner().invoke(argus, ["migrate", "--pre"])
        assert said.exit_code == 0, said.output
        assert "left for `argus migrate --post`: 9002_post_less" in said.output
        assert "The schema is the newest." in CliRunner().invoke(argus, ["migrate", "--post"]).output
    settings.cache_clear()
    assert pending(url) == []
