"""Sessions on PostgreSQL. Hold one for as short as can be, never across a denoising step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import structlog
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from core.services import database_url
from core.settings import ROOT

if TYPE_CHECKING:
    from alembic.config import Config

log = structlog.get_logger(__name__)
PATIENCE_S = 60.0  # how long what must be recorded waits for a database that is away
AGAIN_S = 1.0  # the longest between two tries: who waits goes on that soon after it is back
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


def sqlalchemy_url(url: str) -> str:
    """The same address with the driver named, as SQLAlchemy wants it."""
    head, _, tail = url.partition("://")
    return f"postgresql+psycopg2://{tail}" if head in ("postgres", "postgresql") else url


@lru_cache(maxsize=1)
def engine() -> Engine:
    """The engine of this process. Connections are tested before use, so a restarted server is not noticed."""
    return create_engine(
        sqlalchemy_url(database_url()),
        pool_pre_ping=True,
        pool_size=8,
        max_overflow=16,
        connect_args={"connect_timeout": 5, "application_name": "argus", "options": " ".join(LIMITS)},
    )


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


def migrate(url: str | None = None) -> None:
    """Bring the database at `url` (default: the one in force) to the newest schema, as the role that owns it."""
    from alembic import command

    config = alembic_config()
    config.attributes["url"] = url
    command.upgrade(config, "head")


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
