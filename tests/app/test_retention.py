"""Jobs go when their days are over: rows and files, some at a time, those of a tenant by its own number of days."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from cli.main import argus
from core.client_tables import ClientAction
from core.database import transaction
from core.errors import NotFound
from core.images import ImageStore
from core.outputs import JobOutput
from core.tables import Image, Job, Request
from core.tenant_tables import Tenant
from scheduler.control import prune
from tests.app.conftest import age, configured, draw, rows

Submit = Callable[..., dict[str, Any]]


@pytest.fixture
def ended(client: FlaskClient, submit: Submit) -> Callable[..., uuid.UUID]:
    """A job of two that has ended so many days ago, of a tenant."""

    def made(days: float, tenant: str = "default") -> uuid.UUID:
        job = submit(prompts=["a", "b"])
        for request in job["requests"]:
            draw(request["id"])
        made = uuid.UUID(job["id"])
        age(made, days)
        with transaction() as session:
            session.execute(update(Job).where(Job.id == made).values(tenant=tenant))
        return made

    return made


def jobs() -> set[uuid.UUID]:
    with transaction() as session:
        return set(session.scalars(select(Job.id)))


def test_nothing_goes_by_age_unless_a_setting_or_a_tenant_says_so(ended: Callable[..., uuid.UUID]) -> None:
    ended(5000)
    assert prune.prune() == 0
    assert prune.prunable() == []


def test_what_is_older_than_it_is_kept_goes_with_its_files_and_the_trace_stays(ended: Callable[..., uuid.UUID]) -> None:
    old, young = ended(31), ended(29)
    with transaction() as session:
        keys = dict(session.execute(select(Image.key, Request.job_id).join(Request)).all())
    with configured(ARGUS_RETENTION_DAYS="30"):
        found = prune.prunable()
        assert [(one.tenant, one.jobs, one.requests, one.images) for one in found] == [("default", 1, 2, 2)]
        assert found[0].bytes > 0
        assert prune.prune() == 2
        assert prune.prune() == 0
    assert jobs() == {young}
    for key, job in keys.items():
        if job == old:
            with pytest.raises(NotFound):
                ImageStore().get(key)
        else:
            assert ImageStore().get(key)
    with transaction() as session:
        last = session.scalars(select(ClientAction).order_by(ClientAction.id.desc())).first()
    assert last is not None
    assert (last.client, last.action, last.job_id) == ("argus", "removed", old)


def test_a_tenant_keeps_its_jobs_as_long_as_it_says(ended: Callable[..., uuid.UUID]) -> None:
    short, long = ended(3, "short"), ended(300, "long")
    ended(300)
    with transaction() as session:
        session.add_all([Tenant(name="short", retention_days=2), Tenant(name="long", retention_days=0)])
    with configured(ARGUS_RETENTION_DAYS="30"):
        assert prune.prune() == 4
    assert jobs() == {long}
    assert short not in jobs()


def test_a_job_that_is_not_over_stays_however_old_it_is(ended: Callable[..., uuid.UUID]) -> None:
    job = ended(100)
    with transaction() as session:
        first = select(Request.id).where(Request.job_id == job).limit(1).scalar_subquery()
        session.execute(update(Request).where(Request.id == first).values(state="paused"))
    assert prune.prune(days=30) == 0


@pytest.mark.parametrize("what", ["stored", "cancelled", "retried", "reordered"])
def test_days_count_from_when_anything_was_last_done_of_a_job(
    client: FlaskClient, ended: Callable[..., uuid.UUID], what: str
) -> None:
    job, yesterday = ended(100), func.now() - timedelta(days=1)
    first = select(Request.id).where(Request.job_id == job).limit(1).scalar_subquery()
    with transaction() as session:
        if what == "stored":
            session.execute(update(Request).where(Request.id == first).values(stored_at=yesterday))
        elif what == "cancelled":
            session.execute(update(Job).where(Job.id == job).values(cancelled_at=yesterday))
        elif what == "retried":
            session.execute(update(Request).where(Request.id == first).values(accepted_at=yesterday, state="failed"))
        else:
            session.add(ClientAction(client="a", action=what, job_id=job, details={}, at=yesterday))
    assert (prune.prunable(days=2), prune.prune(days=2), jobs()) == ([], 0, {job})
    assert prune.prune(days=0.5) == 2


def test_a_job_whose_results_are_still_to_be_written_stays(
    client: FlaskClient, ended: Callable[..., uuid.UUID]
) -> None:
    job = ended(100)
    with transaction() as session:
        session.add(JobOutput(job_id=job, url="memory://bucket/x"))
    assert prune.prune(days=30) == 0
    with transaction() as session:
        session.execute(update(JobOutput).values(ended_at=func.now()))
    assert prune.prune(days=30) == 2


def test_what_is_retried_between_being_listed_and_removed_stays(
    client: FlaskClient, ended: Callable[..., uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, other = ended(101), ended(100)
    with transaction() as session:
        session.execute(update(Request).where(Request.job_id == other).values(state="failed"))
    listed = prune._next

    def then_retried(*which: Any) -> list[uuid.UUID]:
        found = listed(*which)
        if other in found:
            assert client.post(f"/v1/jobs/{other}/retry").get_json()["requests"] == 2
        return found

    monkeypatch.setattr(prune, "_next", then_retried)
    assert prune.prune(days=30) == 2
    assert jobs() == {other}
    assert job not in jobs()


def test_a_retry_stops_a_removal_that_has_begun(
    client: FlaskClient, ended: Callable[..., uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "PORTION", 1)
    job = ended(100)
    with transaction() as session:
        session.execute(update(Request).values(state="failed"))
    assert prune.prune(days=30, most_s=0.0) == 1
    assert client.post(f"/v1/jobs/{job}/retry").get_json()["requests"] == 1
    assert prune.prune(days=30) == 0
    assert rows() == (1, 1)


def test_a_turn_that_ends_in_the_middle_goes_on_with_the_next(
    ended: Callable[..., uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prune, "PORTION", 1)
    ended(100)
    assert prune.prune(days=30, most_s=0.0) == 1
    assert rows() == (1, 1)
    assert prune.prune(days=30) == 1
    assert rows() == (0, 0)


def test_a_store_that_is_away_leaves_orphans_not_rows(
    ended: Callable[..., uuid.UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(100)

    def away(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(ImageStore, "delete", away)
    assert prune.prune(days=30) == 2
    assert rows() == (0, 0)


def test_the_command_says_what_would_go_and_does_it(ended: Callable[..., uuid.UUID]) -> None:
    ended(100)
    told = CliRunner().invoke(argus, ["prune", "--days", "30", "--dry-run"])
    assert (told.exit_code, "Would be removed" in told.output, len(jobs())) == (0, True, 1)
    done = CliRunner().invoke(argus, ["prune", "--days", "30", "--json", "-"])
    assert done.exit_code == 0, done.output
    assert jobs() == set()
