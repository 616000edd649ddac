"""What runs: ports, database, broker, workers, queues."""

from __future__ import annotations

from collections.abc import Iterator

from cli.checks.finding import Finding
from core.settings import PREFIX, settings

RECENT_S = 600.0  # a worker that stopped reporting longer ago is not named any more
ANSWER_S = (2.0, 10.0)  # how long Celery's processes have to answer: at first, and before it is called wrong


def ports() -> Iterator[Finding]:
    """Ports are free, or ours."""
    from cli.stack import port_is_free, running

    if running() is not None:
        return
    for name in ("port", "flower_port"):
        port = getattr(settings(), name)
        free = port_is_free(settings().host, port)
        text = "free" if free else f"taken by another program: set {PREFIX}{name.upper()} to a free one"
        yield Finding(f"port {port}", free, text)


def services() -> Iterator[Finding]:
    """Database and broker answer; the schema is the newest; workers report and queues have consumers."""
    from cli.stack import running
    from core.services import broker_answers, broker_url

    ours = running() is not None
    if not ours and not (settings().database_url and settings().broker_url):
        yield Finding("services", True, "Argus does not run here; it starts its own with `argus up`")
        return
    answers = broker_answers(broker_url())
    yield Finding("broker", answers, "answers" if answers else "does not answer: start it, or see logs/valkey.log")
    schema = list(database())
    yield from schema
    if answers and all(finding.ok for finding in schema):
        yield from workers()
        yield from queues()


def database() -> Iterator[Finding]:
    """PostgreSQL answers, and its schema is the newest."""
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    from core.database import newest_schema, transaction

    newest = newest_schema()
    try:
        with transaction() as session:
            found = session.scalar(text("SELECT version_num FROM alembic_version"))
    except SQLAlchemyError as error:
        hint = "start it, or see logs/postgres.log; `argus run migrate` makes tables"
        yield Finding("database", False, f"{str(error).splitlines()[0]}: {hint}")
        return
    ok = found == newest
    yield Finding("database", ok, f"schema {found}" + ("" if ok else f", newest is {newest}: `argus run migrate`"))


def workers() -> Iterator[Finding]:
    """Generation workers that stopped reporting."""
    from sqlalchemy import func, select

    from core.database import transaction
    from core.tables import Worker

    age = func.extract("epoch", func.now() - Worker.seen_at)
    with transaction() as session:
        found = [(worker.name, worker.state, float(s)) for worker, s in session.execute(select(Worker, age))]
    for name, state, seconds in found:
        if seconds < RECENT_S:
            lost = state != "stopped" and seconds > settings().stale_s
            text = f"{state}, seen {seconds:.0f} s ago" + ("; see its log" if lost else "")
            yield Finding(f"worker {name}", not lost, text)


def queues() -> Iterator[Finding]:
    """Celery's processes answer, and no queue with messages lacks a consumer; on a busy machine they answer late."""
    for seconds in ANSWER_S:
        found = list(_queues(seconds))
        if all(finding.ok for finding in found):
            break
    yield from found


def _queues(answer_s: float) -> Iterator[Finding]:
    from core.celery import celery_app
    from core.families import load_family
    from core.queues import all_queues, depths

    active = celery_app().control.inspect(timeout=answer_s).active_queues() or {}
    consumed = {queue["name"] for consumers in active.values() for queue in consumers}
    for queue, length in (depths(all_queues(load_family(settings().family))) or {}).items():
        if length and queue not in consumed:
            yield Finding(f"queue {queue}", False, f"{length} messages and no consumer: is its worker up?")
    text = f"{len(active)} processes answer" if active else "no process answers: `argus status`"
    yield Finding("celery", bool(active), text)
