"""The statements that run often, as the functions that run them write them, find their rows by an index."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event, text

from app.records import gallery, jobs, plan, selection
from app.records.report import report_out
from app.schemas.selection import ListIn, Selection
from bench.scheduler.backlog import join_workers, queue_requests
from bench.scheduler.history import fill
from core import open_requests, workers
from core.cached_latents import Kind
from core.database import engine, forget_connections, transaction
from core.families import load_family
from core.images import ImageStore
from core.request_indexes import FOREGROUND
from core.settings import settings
from core.tables import Job, Request
from core.workers import WorkerIdentity
from scheduler.control import escalate, next_to_route, prune
from scheduler.control.files import FilesAndRows
from scheduler.control.missing_files import MissingFiles
from scheduler.control.observe import Observer
from scheduler.control.reconcile import reconcile
from scheduler.control.remap import NEWEST
from scheduler.control.tick import Scheduler
from scheduler.observation import queries
from scheduler.observation.report import make_report
from scheduler.observation.snapshot import SnapshotReader
from scheduler.prediction.audit import audited, order_audits
from tests.conftest import empty_tables, environment
from tests.live.rows import seen
from workers.latent_cache.entries import Entry
from workers.latent_cache.vector_index import COLDEST, VectorIndex

ROWS, DAYS, WAITING = 40_000, 20.0, 1500
FAMILY = load_family("embedded")
LEVELS = list(FAMILY.levels)
EMBEDDED = """
INSERT INTO prompt_embedding SELECT tenant, md5(prompt)::uuid, embedding FROM (
    SELECT DISTINCT ON (tenant, prompt) * FROM request WHERE stored_at IS NOT NULL LIMIT 1000) r
CROSS JOIN LATERAL (
    SELECT array_agg(sin(1 + ascii(r.prompt) * i + length(r.prompt)))::halfvec(384) AS embedding
    FROM generate_series(1, 384) i) v
"""
BEGUN_WITH = """
WITH new AS (
    INSERT INTO input_image (id, key, sha256, bytes, width, height, used_at)
    SELECT gen_random_uuid(), n::text, n::text, n % 3, 64, 64, now() - n * interval '1 hour'
    FROM generate_series(1, 400) n
    RETURNING id, used_at, bytes
)
UPDATE request SET source_id = CASE bytes WHEN 0 THEN new.id END, mask_id = CASE bytes WHEN 1 THEN new.id END,
    second_id = CASE bytes WHEN 2 THEN new.id END FROM new
WHERE request.id = (SELECT id FROM request r WHERE r.accepted_at > new.used_at ORDER BY accepted_at LIMIT 1)
"""
SEARCH = uuid.uuid4()
NOBODY = WorkerIdentity("cpu0@bench", uuid.uuid4())


@pytest.fixture(scope="module")
def as_superuser(services: Any) -> Iterator[None]:
    """What fills tables without their triggers and vacuums them is none of Argus' business."""
    with environment({"ARGUS_DATABASE_URL": services.superuser_url}):
        settings.cache_clear()
        forget_connections()
        yield
    settings.cache_clear()
    forget_connections()


@pytest.fixture(scope="module")
def filled(services: Any, as_superuser: None) -> Iterator[None]:
    """Weeks of history, some hundreds that wait in each of the ways to wait, workers, cached latents."""
    empty_tables(services)
    for _ in fill(FAMILY.id, FAMILY.reference, LEVELS, ROWS, DAYS):
        pass
    join_workers(FAMILY, tuple(FAMILY.offered) * 10)
    queue_requests(FAMILY, WAITING, seed=1)
    with transaction() as session:
        session.execute(text("UPDATE request SET deadline_unreachable = true WHERE state = 'queued' AND seed % 3 = 0"))
        session.execute(text("UPDATE request SET service_class = 'batch' WHERE state = 'queued' AND seed % 3 = 1"))
    index = VectorIndex(engine())
    kind = Kind("embedded", "large", "1", 64, 64, 30, "euler")
    for number in range(50):
        index.add(kind, np.eye(384)[number], [Entry(f"{number}-{k}", k, 10) for k in (3, 6)])
    with transaction() as session:
        session.execute(text(EMBEDDED))
        session.execute(text(BEGUN_WITH))
        session.execute(
            text("INSERT INTO search_text SELECT :id, 'a fox', embedding FROM prompt_embedding LIMIT 1"), {"id": SEARCH}
        )
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    Scheduler(FAMILY).tick()
    yield
    empty_tables(services)


def in_session(work: Callable[[Any], object]) -> Callable[[], None]:
    def run() -> None:
        with transaction() as session:
            work(session)
            session.rollback()

    return run


def last_day(session: Any) -> None:
    now = datetime.now(UTC)
    make_report(session, now - timedelta(days=1), now)


STATEMENTS: dict[str, Callable[[], object]] = {
    "claims": lambda: open_requests.waiting(FAMILY, LEVELS, False, 32),
    "claims of a tenant that has few": lambda: open_requests.waiting(FAMILY, LEVELS, False, 32, "few"),
    "background claims": lambda: open_requests.waiting(FAMILY, LEVELS, True, 8),
    "claims of what is owed": lambda: open_requests.owed(FAMILY, LEVELS, 10.0, 8),
    "the router's look": in_session(lambda session: next_to_route.next_to_route(session, FAMILY, seen(50.0))),
    "the router's look while several want the devices": in_session(
        lambda session: next_to_route.next_to_route(session, FAMILY, seen(50.0, "few", "many"))
    ),
    "attempts without a thread": lambda: workers.open_attempts(NOBODY, earlier=False),
    "snapshot": in_session(lambda session: SnapshotReader(FAMILY).snapshot(session)),
    "the tick's look": in_session(lambda session: Observer(FAMILY, SnapshotReader(FAMILY)).observe(session)),
    "tick": lambda: Scheduler(FAMILY).tick(),
    "reconciliation": lambda: reconcile(FAMILY),
    "missing images": lambda: (FilesAndRows(FAMILY).redrawing.turn(), MissingFiles(ImageStore()).look(10, 0)),
    "timings": in_session(lambda session: queries.timings(session, FAMILY, "cpu")),
    "relative scores": in_session(lambda session: queries.relative_scores(session, FAMILY)),
    "score of the reference": in_session(
        lambda session: escalate._reference_score(session, FAMILY, Request(prompt="a fox"))
    ),
    "audits measured": in_session(lambda session: audited(session, FAMILY)),
    "audits to order": in_session(lambda session: order_audits(session, FAMILY, 4)),
    "report of a day": in_session(last_day),
    "dashboard": in_session(lambda session: report_out(session, 60)),
    "gallery": in_session(lambda session: gallery.newest_images(session, Selection())),
    "gallery of newer ones": in_session(
        lambda session: gallery.newest_images(session, Selection(), after=datetime.now(UTC) - timedelta(hours=1))
    ),
    "gallery of a level": in_session(
        lambda session: gallery.newest_images(session, Selection(level=[FAMILY.reference]))
    ),
    "gallery by meaning": in_session(lambda session: gallery.nearest_images(session, Selection(), SEARCH)),
    "list of requests": in_session(lambda session: selection.request_list(session, ListIn())),
    "jobs to remove by age": lambda: prune._next(DAYS / 2, None),
    "images that none begins with": lambda: prune.remove_unnamed_inputs(ImageStore()),
    "plan": in_session(plan.plan_page),
    "jobs": in_session(jobs.job_list),
    "eviction": lambda: (VectorIndex(engine()).coldest(100), VectorIndex(engine()).touch("3-6")),
}


@contextmanager
def executed() -> Iterator[list[tuple[str, Any]]]:
    """Statements, and their values, that this process executes meanwhile."""
    seen: list[tuple[str, Any]] = []

    def hook(_conn: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        seen.append((statement, values))

    event.listen(engine(), "before_cursor_execute", hook)
    try:
        yield seen
    finally:
        event.remove(engine(), "before_cursor_execute", hook)


def plan_of(statement: str, values: Any) -> str:
    with engine().connect() as connection:
        cursor: Any = connection.connection.cursor()
        cursor.execute(f"EXPLAIN {statement}", values)
        return "\n".join(line for (line,) in cursor.fetchall())


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_that_runs_often_reads_all_requests(filled: None, name: str) -> None:
    with executed() as seen:
        STATEMENTS[name]()
    explained = [plan_of(*one) for one in seen if re.match(r"\s*(SELECT|WITH|UPDATE|DELETE)", one[0])]
    assert explained or name == "eviction"
    for found in explained:
        assert not re.search(r"Seq Scan on (request|attempt|image)\b", found), found


def test_every_index_of_the_big_tables_is_used_by_some_statement(filled: None) -> None:
    with transaction() as session:
        session.execute(text("SELECT pg_stat_reset()"))
    for statement in STATEMENTS.values():
        statement()
    with transaction() as session:  # a job that is purged takes what belongs to it along
        session.delete(session.query(Job).filter(Job.source == "api").first())
        session.flush()
        session.rollback()
    with transaction() as session:
        session.execute(text("SELECT pg_stat_force_next_flush()"))
    with transaction() as session:
        unused = session.scalars(
            text(
                "SELECT indexrelname FROM pg_stat_user_indexes WHERE idx_scan = 0 AND relname IN "
                "('request', 'attempt', 'image', 'score')"
            )
        )
        assert set(unused) <= {"attempt_pkey", "score_pkey"}


@pytest.mark.parametrize(
    ("statement", "index"), [(COLDEST, "ix_latent_use_coldest"), (NEWEST, "ix_assignment_worker_id")]
)
def test_small_tables_have_the_order_that_is_asked_for(filled: None, statement: Any, index: str) -> None:
    """While they are small, reading all of them is cheaper; so that is forbidden here."""
    with transaction() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        found = session.scalars(text(f"EXPLAIN {statement}"), {"names": ["cpu0@bench"]} if index.endswith("id") else {})
        assert index in "\n".join(found)


def test_the_most_urgent_of_all_levels_is_shown_first(filled: None) -> None:
    shown = open_requests.waiting(FAMILY, LEVELS, False, 32)
    assert shown == sorted(shown, key=lambda row: (row.deadline_at, row.id))
    with transaction() as session:
        first = session.scalar(
            text(f"SELECT id FROM request WHERE state = 'queued' AND {FOREGROUND} ORDER BY deadline_at, id LIMIT 1")
        )
    assert shown[0].id == first
    behind = open_requests.waiting(FAMILY, LEVELS, True, WAITING)
    assert [row.service_class for row in behind] == sorted((row.service_class for row in behind), reverse=True)
