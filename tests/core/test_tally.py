"""What became of requests is counted once, by hour and of all time, and stays counted when their job is purged."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine, func, select, text, update
from sqlalchemy.exc import ProgrammingError

from core import requests, user_moves
from core.database import sqlalchemy_url, transaction
from core.postgres import make_roles
from core.tables import Attempt, Image, InputImage, Job, Request, Score, State, Worker
from core.tally import fold
from core.tally_tables import BUCKETS, EVENTS, TALLY
from migrations.report_comments import merged
from scheduler.observation.queries import relative_scores
from tests.conftest import Services

PLAIN = {"prompt": "a fox", "seed": 1, "width": 32, "height": 32, "steps": 10, "guidance": 2.0}
ENDS = ("accepted", "done", "failed", "cancelled", "late", "images")


@pytest.fixture(autouse=True)
def workers(database: Services) -> None:
    with transaction() as session:
        about: dict[str, Any] = {"device": "cuda:0", "device_type": "h100", "family": "toy", "state": "ready"}
        session.add(Worker(name="w", boot=uuid.uuid4(), models=[], queues=[], stats={}, **about))


def accept(count: int, source: str = "api", tenant: str = "default", slo_s: float = 60.0) -> list[uuid.UUID]:
    now = datetime.now(UTC)
    job = Job(id=uuid.uuid4(), family="toy", source=source, size=count, created_at=now, tenant=tenant)
    rows = [{"id": uuid.uuid4(), "position": place, **PLAIN} for place in range(count)]
    with transaction() as session:
        session.add(job)
        session.flush()
        requests.new_requests(session, job, rows, now + timedelta(seconds=slo_s))
    return [row["id"] for row in rows]


def draw(request_id: uuid.UUID, level: str = "exact", quality: float = 1.0, took_s: float = 2.0, **spent: Any) -> None:
    """As a worker does it, in one transaction and in this order."""
    with transaction() as session:
        request = session.get_one(Request, request_id)
        number = request.attempts + 1
        attempt = Attempt(request_id=request_id, number=number, worker="w", boot=uuid.uuid4(), level=level, model="big")
        session.add(attempt)
        session.flush()
        begun = session.scalar(select(func.now()))
        values: dict[str, Any] = {"state": State.RUNNING, "attempts": number, "started_at": begun, "level": level}
        session.execute(update(Request).where(Request.id == request_id).values(**values, qualities={level: quality}))
    with transaction() as session:
        done = {"state": State.DONE, "stored_at": func.clock_timestamp(), "denoised_at": func.now()}
        session.execute(update(Request).where(Request.id == request_id).values(**done))
        spent = {"encode_s": 0.25, "denoise_s": took_s, "decode_s": 0.25, "batch_mean": 1, **spent}
        session.execute(update(Attempt).where(Attempt.id == attempt.id).values(outcome="done", **spent))
        session.add(image_of(request_id, attempt.id, level))


def image_of(request_id: uuid.UUID, attempt_id: uuid.UUID, level: str) -> Image:
    size: dict[str, Any] = {"width": 32, "height": 32, "bytes": 1, "sha256": "0" * 64, "family_version": "1"}
    return Image(request_id=request_id, attempt_id=attempt_id, key="k", level=level, model="big", **size)


def score(request_id: uuid.UUID, value: float) -> None:
    with transaction() as session:
        image = session.scalars(select(Image).where(Image.request_id == request_id)).first()
        session.add(Score(image_id=image.id, scorer="s", value=value))
        session.execute(update(Request).where(Request.id == request_id).values(score=value, scored_at=func.now()))


def totals() -> dict[str, int]:
    """Of all time, without what Argus does for itself."""
    sums = (func.coalesce(func.sum(TALLY.c[name]), 0).label(name) for name in ENDS)
    query = select(*sums).where(TALLY.c.hour == text("'-infinity'"), ~TALLY.c.background)
    with transaction() as session:
        return {name: int(value) for name, value in session.execute(query).mappings().one().items()}


def view(name: str, order: str = "1") -> list[Any]:
    with transaction() as session:
        return list(session.execute(text(f"SELECT * FROM {name} ORDER BY {order}")))


def test_each_request_counts_once_however_often_sums_are_folded() -> None:
    first, second, third, fourth = accept(4)
    draw(first)
    draw(second)
    with transaction() as session:
        session.execute(update(Request).where(Request.id == third).values(state=State.FAILED))
        user_moves.cancel_requests(session, [fourth])
    assert fold() > 0
    assert fold() == 0
    assert totals() == {"accepted": 4, "done": 2, "failed": 1, "cancelled": 1, "late": 0, "images": 2}
    with transaction() as session:
        by_measure = (
            select(BUCKETS.c.measure, func.sum(BUCKETS.c.n)).join(TALLY).where(TALLY.c.hour > text("'-infinity'"))
        )
        assert dict(session.execute(by_measure.group_by(BUCKETS.c.measure)).all()) == {
            "latency": 2, "wait": 2, "service": 2
        }  # fmt: skip
        assert session.scalar(select(func.count()).select_from(EVENTS)) == 0


def test_what_is_purged_stays_counted_even_before_it_was_folded() -> None:
    draw(accept(1)[0])
    with transaction() as session:
        session.delete(session.scalars(select(Job)).one())
    fold()
    assert totals()["done"] == 1
    assert [row.images for row in view("report_level")] == [1]


def test_an_image_drawn_again_is_one_more_image_of_the_same_request() -> None:
    request = accept(1)[0]
    draw(request, "fs", 0.9)
    requests.redraw(request, "exact", "its score is under the floor")
    draw(request, "exact")
    fold()
    assert (totals()["done"], totals()["images"]) == (1, 2)
    requests.redraw(request, "exact", "again")
    with transaction() as session:
        user_moves.cancel_requests(session, [request])
    fold()
    assert (totals()["done"], totals()["cancelled"]) == (1, 0)


def test_device_time_is_that_of_a_requests_own_steps() -> None:
    """Its first step and its last are farther apart where another model took turns."""
    draw(accept(1)[0], took_s=9.0, share_s=1.0, batch_mean=2)
    fold()
    assert [row.device_s for row in view("report_level")] == [1.5]


def test_a_kind_of_its_own_is_reported_by_itself_and_says_nothing_of_what_exact_takes() -> None:
    restored, plain, cheap = accept(3)
    with transaction() as session:
        session.execute(update(Request).where(Request.id == restored).values(own_kind="restoration"))
    draw(restored, took_s=40.0)
    draw(plain, took_s=2.0)
    draw(cheap, "fs", 0.9, took_s=0.5)
    fold()
    rows = {row.level: row for row in view("report_level")}
    assert {level: row.device_s for level, row in rows.items()} == {"restoration": 40.5, "exact": 2.5, "fs": 1.0}
    assert {level: row.device_saved_s for level, row in rows.items()} == {"restoration": None, "exact": 0, "fs": 1.5}


def test_what_is_cancelled_while_it_is_paused_has_ended() -> None:
    request = accept(1)[0]
    with transaction() as session:
        job = session.get_one(Request, request).job_id
        assert user_moves.make(session, user_moves.PAUSE, job, ()) == 1
    with transaction() as session:
        assert user_moves.make(session, user_moves.CANCEL, job, ()) == 1
    fold()
    assert totals()["cancelled"] == 1
    assert [(row.cancelled, row.open) for row in view("report_job")] == [(1, 0)]


def test_late_is_what_was_stored_after_its_deadline() -> None:
    in_time, late = accept(1)[0], accept(1, slo_s=-1.0)[0]
    draw(in_time)
    draw(late)
    fold()
    assert totals()["late"] == 1
    assert [row.violation_rate for row in view("report_level")] == [0.5]


def test_audits_are_in_no_view_but_their_own() -> None:
    asked, audit = accept(1)[0], accept(1, source="audit")[0]
    draw(asked, "fs", 0.95)
    draw(audit, "exact")
    score(asked, 0.6)
    score(audit, 0.8)
    fold()
    assert [row.id for row in view("report_request")] == [asked]
    assert len(view("report_job")) == 1
    assert [row.accepted for row in view("report_minute")] == [1]
    assert [row.level for row in view("report_level")] == ["fs"]
    assert sum(row.images for row in view("report_usage")) == 1
    assert [(row.id, row.measured_quality) for row in view("report_audit")] == [(asked, pytest.approx(0.75))]


def test_views_say_quality_its_loss_and_device_seconds_used_and_saved() -> None:
    exact, other, third = accept(3)
    draw(exact, "exact", 1.0, took_s=3.5)  # 4 s of a device
    draw(other, "fs", 0.9, took_s=2.0, batch_mean=4)  # 1 s of it
    draw(third, "fs", 1.1, took_s=2.0, batch_mean=4)
    score(other, 0.7)
    fold()
    cheaper = next(row for row in view("report_level") if row.level == "fs")
    assert (cheaper.images, cheaper.score_mean, cheaper.scored) == (2, 0.7, 1)
    assert (cheaper.quality_mean, cheaper.quality_lost) == (pytest.approx(1.0), pytest.approx(0.05))
    assert (cheaper.device_s, cheaper.device_saved_s) == (pytest.approx(2.0), pytest.approx(6.0))
    assert [(row.model, row.images) for row in view("report_model")] == [("big", 3)]
    job = view("report_job")[0]
    assert (job.requests, job.done, job.open, job.violations, job.images) == (3, 3, 0, 0, 3)
    assert (job.device_s, job.score_mean) == (pytest.approx(6.0), 0.7)
    assert 0 < job.latency_mean_s <= job.latency_max_s
    assert job.quality_lost == pytest.approx(0.1 / 3)
    assert view("report_request")[0].model == "big"


def test_nothing_is_said_to_be_saved_where_exact_was_never_measured() -> None:
    draw(accept(1)[0], "fs", 0.9)
    fold()
    assert [row.device_saved_s for row in view("report_level")] == [None]


def test_tenants_and_hours_have_rows_of_their_own() -> None:
    draw(accept(1, tenant="art")[0])
    old = accept(2, tenant="shop")
    with transaction() as session:
        session.execute(update(Request).where(Request.id.in_(old)).values(accepted_at=func.now() - timedelta(hours=30)))
    draw(old[0])
    fold()
    assert [(row.tenant, row.accepted, row.images) for row in view("report_tenant")] == [("art", 1, 1), ("shop", 2, 1)]
    hours = view("report_hour")
    assert [row.images for row in hours] == [1, 1]
    assert hours[0].hour < hours[1].hour


def test_quantiles_of_a_histogram_are_near_those_of_the_requests() -> None:
    ids = accept(200)
    with transaction() as session:
        session.execute(
            text(
                "UPDATE request SET state = 'done', level = 'exact', started_at = accepted_at, "
                "stored_at = accepted_at + make_interval(secs => 1 + position * 0.1) WHERE id = ANY(:ids)"
            ),
            {"ids": ids},
        )
    fold()
    row = view("report_level")[0]
    assert row.latency_p50_s == pytest.approx(11.0, rel=0.25)
    assert row.latency_p95_s == pytest.approx(20.0, rel=0.25)
    assert row.latency_p99_s == pytest.approx(20.8, rel=0.25)
    assert row.latency_mean_s == pytest.approx(10.95)


def test_every_view_and_column_says_what_it_means() -> None:
    described = text(
        "SELECT c.relname, a.attname, col_description(c.oid, a.attnum), obj_description(c.oid) FROM pg_class c "
        "JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind = 'v' AND c.relname LIKE 'report\\_%' "
        "ORDER BY c.relname, a.attnum"
    )
    with transaction() as session:
        found = session.execute(described).all()
    known = {name: (about, list(columns.items())) for name, (about, columns) in merged().items()}
    told: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    for name, column, meaning, about in found:
        told.setdefault(name, (about, []))[1].append((column, meaning))
    assert told == known


def test_the_role_that_reports_reads_the_views_and_nothing_else(services: Services) -> None:
    address = make_roles(services.home, services.superuser_url).report
    with create_engine(sqlalchemy_url(address)).connect() as connection:
        for name in merged():
            connection.execute(text(f"SELECT * FROM {name} LIMIT 1"))
        for statement in ("SELECT prompt FROM request", "SELECT * FROM job", "DELETE FROM report_plan"):
            with pytest.raises(ProgrammingError, match="permission denied"):
                connection.execute(text(statement))
            connection.rollback()


def test_an_image_that_began_with_another_says_nothing_of_what_levels_lose() -> None:
    exact, cheaper, restored = accept(3)
    for request, level, value in ((exact, "exact", 0.8), (cheaper, "fs", 0.6), (restored, "exact", 0.1)):
        draw(request, level)
        score(request, value)
    with transaction() as session:
        picture = InputImage(key="k", sha256="0" * 64, bytes=1, width=32, height=32)
        session.add(picture)
        session.flush()
        began = {"source_id": picture.id, "own_kind": "restoration"}
        session.execute(update(Request).where(Request.id == restored).values(**began))
        family: Any = SimpleNamespace(id="toy", reference="exact")
        assert relative_scores(session, family) == {"fs": [pytest.approx(0.75)]}
