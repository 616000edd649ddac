"""`argus reindex`: indexes of the tables that change most are rebuilt by their owner, and by nobody else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner, Result

from cli.main import argus
from core.settings import settings
from tests.conftest import Services, environment

FILES = """
SELECT indexrelid::regclass::text, pg_relation_filenode(indexrelid) FROM pg_index
WHERE indrelid::regclass::text IN ('request', 'attempt', 'image', 'score', 'job', 'worker')
"""
ROWS = """
INSERT INTO job (id, family, source, service_class, size, created_at)
SELECT gen_random_uuid(), 'paper', 'api', 'interactive', 0, now() - n * interval '1 minute'
FROM generate_series(1, 20000) n
"""


@pytest.fixture
def ask(database: Services) -> Iterator[Callable[..., list[Any]]]:
    """SQL as a superuser, each statement for itself."""
    connection = psycopg2.connect(database.superuser_url)
    connection.autocommit = True

    def run(sql: str, *values: Any) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    yield run
    connection.close()


def reindex(address: str, *words: str) -> Result:
    with environment({"ARGUS_MIGRATION_URL": address}):
        settings.cache_clear()
        done = CliRunner().invoke(argus, ["reindex", *words])
    settings.cache_clear()
    return done


def test_what_updates_left_is_given_back_while_nothing_else_changes(
    database: Services, ask: Callable[..., list[Any]]
) -> None:
    ask(ROWS)
    for _ in range(3):
        ask("UPDATE job SET created_at = created_at + interval '1 second'")
        ask("VACUUM job")
    before = dict(ask(FILES))
    shown = json.loads(reindex(database.roles.owner, "--dry-run", "--json", "-").output)
    assert {each["index"] for each in shown["indexes"]} == set(before)
    assert dict(ask(FILES)) == before
    done = reindex(database.roles.owner, "--json", "-")
    assert done.exit_code == 0, done.output
    found = {each["index"]: each for each in json.loads(done.output)["indexes"]}
    after = dict(ask(FILES))
    assert set(after) == set(found) == set(before)
    assert not set(after.values()) & set(before.values())
    grown = found["ix_job_created_at"]
    assert grown["bytes"] < 0.8 * grown["before"]
    assert ask("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]


def test_what_an_interrupted_rebuild_left_is_dropped(database: Services, ask: Callable[..., list[Any]]) -> None:
    ask("CREATE INDEX ix_job_created_at_ccnew ON job (created_at)")
    ask("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_job_created_at_ccnew'::regclass")
    done = reindex(database.roles.owner)
    assert (done.exit_code, "ix_job_created_at" in done.output, "ccnew" in done.output) == (0, True, False)
    assert ask("SELECT to_regclass('ix_job_created_at_ccnew')") == [(None,)]


def test_only_the_owner_may_and_others_are_told_which_address(database: Services) -> None:
    refused = reindex(database.roles.app)
    assert refused.exit_code == 2
    assert "ARGUS_MIGRATION_URL" in refused.output
    assert "Traceback" not in refused.output
