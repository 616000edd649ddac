"""Sessions on PostgreSQL. Hold one for as short as can be, never across a denoising step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg2
import structlog
from sqlalchemy import Connection, Engine, Select, cast, create_engine, event, func, literal, select, text
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.types import UserDefinedType

from core.errors import OutcomeUnknown
from core.services import database_url, migration_url
from core.settings import ROOT

if TYPE_CHECKING:
    from alembic.config import Config

log = structlog.get_logger(__name__)
OUTCOME_S = 15.0  # how long who submits waits to hear whether it was committed
PATIENCE_S = 60.0  # how long what must be recorded waits for a database that is away
KEPT, MORE = 16, 8  # connections of a process that stay, and those beside them that are closed after use
TESTED_S = 1.0  # a connection that was used so short a time ago is not tested
NUMBER = "pg_current_xact_id()::text"  # of a transaction, for a statement of it to return
TOLD, USED_AT = "number", "used_at"
AGAIN_S = 1.0  # the longest between two tries: who waits goes on that soon after it is back
AWAY = (OperationalError, InterfaceError, NoConnectionFree)  # what is raised while the database cannot be reached
#: No transaction may keep others waiting: not for a lock, not when its process hangs, not when its host is gone.
LIMITS = (
    "-c lock_timeout=10s",
    "-c statement_timeout=5min",
    "-c idle_in_transaction_session_timeout=1min",
    "-c tcp_keepalives_idle=15",
    "-c tcp_keepalives_interval=5",
    "-c tcp_keepalives_count=3",
)
Answer = TypeVar("Answer")


class Xid8(UserDefinedType[str]):
    """PostgreSQL's number of a transaction."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "xid8"


def sqlalchemy_url(url: str) -> str:
    """The same address with the driver named, as SQLAlchemy wants it."""
    head, _, tail = url.partition("://")
    return f"postgresql+psycopg2://{tail}" if head in ("postgres", "postgresql") else url


@lru_cache(maxsize=1)
def engine() -> Engine:
    """The engine of this process. Connections are tested before use, but for those that were just used, so a restarted
    server is hardly noticed. The one used last is taken first: a new one begins with cold caches."""
    made = create_engine(
        sqlalchemy_url(database_url()),
        pool_size=KEPT,
        max_overflow=MORE,
        pool_use_lifo=True,
        connect_args={"connect_timeout": 5, "application_name": "argus", "options": " ".join(LIMITS)},
    )
    for moment in ("connect", "checkin"):
        event.listen(made, moment, _note_use)
    event.listen(made, "checkout", partial(_test, made))
    return made


def _note_use(_: Any, record: Any) -> None:
    record.info[USED_AT] = time.monotonic()


def _test(made: Engine, connection: Any, record: Any, _: Any) -> None:
    """See whether a connection is alive; where it is not, all that are as old are given up for new ones."""
    if time.monotonic() < record.info[USED_AT] + TESTED_S:
        return
    try:
        made.dialect.do_ping(connection)
    except psycopg2.Error as error:
        raise InvalidatePoolError from error


@lru_cache(maxsize=1)
def _maker() -> sessionmaker[Session]:
    return sessionmaker(engine(), expire_on_commit=False)


@lru_cache(maxsize=1)
def _committing_maker() -> sessionmaker[Session]:
    return sessionmaker(engine().execution_options(isolation_level="AUTOCOMMIT"), expire_on_commit=False)


@contextmanager
def transaction() -> Iterator[Session]:
    """A session that commits at the end, or rolls back and raises."""
    with _maker().begin() as session:
        yield session


@contextmanager
def quick_transaction() -> Iterator[Session]:
    """`transaction` whose commit does not wait for the disk: for what is done again where a crash of the database takes
    it back. What is committed later, and waited for, is never kept without it."""
    with transaction() as session:
        session.execute(text("SELECT set_config('synchronous_commit', 'off', true)"))
        yield session


@contextmanager
def certain_transaction(evidence: Callable[[], Select[Any]]) -> Iterator[Session]:
    """`transaction`, whose outcome is looked up where the connection is lost while it commits: it raises only if
    nothing is committed. The session's `info` is told its number (`TOLD`), which a statement in it returns (`NUMBER`).

    Args:
        evidence: makes a statement that finds something if, and only if, the transaction was committed.

    Raises:
        OutcomeUnknown: the database could not be asked within OUTCOME_S.
    """
    number, ended = None, False
    try:
        with transaction() as session:
            yield session
            number = session.info.get(TOLD)
            ended = True  # what is raised from here on, the commit raises
    except DBAPIError as error:
        if number is None or not ended or not error.connection_invalidated or not was_committed(number, evidence()):
            raise


def as_sqlalchemy(connection: Connection, statement: str, error: psycopg2.Error) -> DBAPIError:
    """An error of the driver itself as SQLAlchemy raises those of its own statements; what is lost is given up."""
    raised: Any = error  # SQLAlchemy's types know no driver's
    lost = connection.dialect.is_disconnect(raised, connection.connection.dbapi_connection, None)
    if lost:
        connection.invalidate(error)
    made = DBAPIError.instance(
        statement, None, error, psycopg2.Error, connection_invalidated=lost, dialect=connection.dialect
    )
    assert isinstance(made, DBAPIError)
    return made


def was_committed(number: str, evidence: Select[Any]) -> bool:
    """Whether a transaction was committed; waits for one that is under way. Raises `OutcomeUnknown`.

    Its number alone does not say: PostgreSQL gives it to another transaction after a crash that took this one back.
    """
    status = select(func.pg_xact_status(cast(literal(number), Xid8)))
    end = time.monotonic() + OUTCOME_S
    while time.monotonic() < end:
        with suppress(DBAPIError), transaction() as session:
            if session.scalar(status) != "in progress":
                return session.scalar(evidence) is not None
        time.sleep(0.2)
    raise OutcomeUnknown("The database went away during a commit, and nobody can say yet whether it took place.")


@contextmanager
def single_statement() -> Iterator[Session]:
    """A session whose one statement is a transaction of its own: without the round trips that begin and commit one."""
    with _committing_maker()() as session:
        yield session


def forget_connections() -> None:
    """Drop engine and pool: after a fork, or when tests point elsewhere."""
    if engine.cache_info().currsize:
        engine().dispose(close=False)
    engine.cache_clear()
    _maker.cache_clear()
    _committing_maker.cache_clear()


def migrate(url: str | None = None, only_pre: bool = False) -> list[str]:
    """Bring the database at `url` (default: the one in force) to the newest schema, as the role that owns it.

    Migrations come in halves: `NNNN_pre_…` before any process of a new version runs, for those of the version before
    go on with it; `NNNN_post_…` once no process of the version before runs any more.

    Args:
        only_pre: stop before the first that has to wait for that.

    Returns:
        Names of those that are left.
    """
    from alembic import command

    config = alembic_config()
    config.attributes["url"] = url
    waiting = pending(url)
    posts = [place for place, (_, name) in enumerate(waiting) if "_post_" in name]
    now = posts[0] if only_pre and posts else len(waiting)
    if now:
        command.upgrade(config, waiting[now - 1][0])
    return [name for _, name in waiting[now:]]


def pending(url: str | None = None) -> list[tuple[str, str]]:
    """Revision and name (of the file) of each migration that a database lacks, in order."""
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(alembic_config())
    reached = create_engine(sqlalchemy_url(url or migration_url()))
    with reached.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    reached.dispose()
    lacking = script.iterate_revisions("head", current or "base")
    return [(each.revision, Path(each.module.__file__ or "").stem) for each in lacking][::-1]


def newest_schema() -> str | None:
    """The revision that `migrate` brings a database to."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def alembic_config() -> Config:
    """Where the migrations lie, for Alembic."""
    from alembic.config import Config

    return Config(str(ROOT / "migrations" / "alembic.ini"))


def patiently(
    work: Callable[[], Answer],
    patience_s: float = PATIENCE_S,
    away: type[Exception] = OperationalError,
    stop: threading.Event | None = None,
) -> Answer:
    """Do something again and again while what it needs is away, the database unless said otherwise.

    Args:
        away: what `work` raises meanwhile; raised when patience ends, or once `stop` is set.
    """
    end, wait, stop = time.monotonic() + patience_s, 0.2, stop or threading.Event()
    while True:
        try:
            return work()
        except away as error:
            if stop.is_set() or time.monotonic() + wait > end:
                raise
            log.warning("away", what=str(error).splitlines()[0], retry_in_s=wait)
            stop.wait(wait)
            wait = min(2 * wait, AGAIN_S)
