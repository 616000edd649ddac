"""One connection of this process that hears of jobs, and wakes who follows them (docs/decisions/0078).

::

    database, workers ──NOTIFY argus_job──▶ Listener (a thread) ──▶ Follower.wait()

What is heard is a reason to look, never the truth. While nothing can be heard, followers look every POLL_S.
"""

from __future__ import annotations

import selectors
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing

import psycopg2
import structlog

from core.database import LIMITS
from core.errors import ArgusError
from core.progress import CHANNEL
from core.services import database_url

log = structlog.get_logger(__name__)
POLL_S = 1.0  # between two looks of a follower while nothing can be heard
LOOK_S = 5.0  # while all is told
CHECK_S = 10.0  # of silence, after which the connection is tried
FIRST_AGAIN_S, AGAIN_S = 0.2, 5.0  # between two tries to connect, at first and at most


class Follower:
    """Who waits for one job: woken when there is something new, and when its client hangs up."""

    def __init__(self, listener: Listener) -> None:
        self._listener, self._news = listener, threading.Event()
        self._lock = threading.Lock()
        self._call: Callable[[], None] | None = None
        self.client_is_gone = False

    @property
    def hears(self) -> bool:
        """Whether it is woken when there is something new; else it has to look."""
        return self._listener.hears

    def wait(self, most_s: float) -> bool:
        """Return when there is a reason to look again; after `most_s` seconds, or sooner, there is. Whether it was
        woken."""
        longest = LOOK_S if self.hears else POLL_S
        woken = self._news.wait(max(0.0, min(most_s, longest)))
        self._news.clear()
        return woken

    def call(self, back: Callable[[], None]) -> None:
        """Have `back` called at the next reason to look, in place of `wait`; at once if there has been one."""
        with self._lock:
            self._call = None if self._news.is_set() else back
        if self._call is None:
            self._news.clear()
            back()

    def wake(self) -> None:
        """Have it look."""
        with self._lock:
            back, self._call = self._call, None
            if back is None:
                self._news.set()
        if back:
            back()

    def hang_up(self) -> None:
        """Its client is gone."""
        self.client_is_gone = True
        self.wake()


class Listener:
    """Listens from the first follower on, in a thread; goes on after the database was away."""

    def __init__(self) -> None:
        self.hears = False
        self._followers: dict[str, set[Follower]] = defaultdict(set)
        self._news: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def follow(self, job_id: uuid.UUID) -> Follower:
        """From now on a follower is woken for this job; `leave` ends that. What happened before, it has to look for."""
        follower = Follower(self)
        with self._lock:
            self._followers[str(job_id)].add(follower)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="listening", daemon=True)
                self._thread.start()
        return follower

    def leave(self, job_id: uuid.UUID, follower: Follower) -> None:
        """It is woken no more."""
        with self._lock:
            mine = self._followers[str(job_id)]
            mine.discard(follower)
            if not mine:
                del self._followers[str(job_id)]
                self._news.pop(str(job_id), None)

    def is_followed(self, job_id: uuid.UUID) -> bool:
        """Whether somebody waits for this job here."""
        with self._lock:
            return str(job_id) in self._followers

    def news(self, job_id: uuid.UUID) -> int:
        """How often its followers were woken; the same number means that nothing was heard in between."""
        with self._lock:
            return self._news[str(job_id)]

    def wake_all(self) -> None:
        """Everybody has a reason to look."""
        with self._lock:
            everybody = [follower for followers in self._followers.values() for follower in followers]
        for follower in everybody:
            follower.wake()

    def _run(self) -> None:
        wait_s = FIRST_AGAIN_S
        while True:
            try:
                with closing(_connect()) as connection:
                    self.hears, wait_s = True, FIRST_AGAIN_S
                    self.wake_all()  # of what happened meanwhile nobody told
                    self._hear(connection)
            except (psycopg2.Error, ArgusError, OSError, ValueError) as error:
                if wait_s == FIRST_AGAIN_S:
                    log.warning("jobs are not heard of, but looked for", error=str(error).splitlines()[0])
            self.hears = False
            time.sleep(wait_s)
            wait_s = min(2 * wait_s, AGAIN_S)

    def _hear(self, connection: psycopg2.extensions.connection) -> None:
        with selectors.DefaultSelector() as selector, connection.cursor() as cursor:
            selector.register(connection, selectors.EVENT_READ)
            while True:
                if not selector.select(CHECK_S):
                    cursor.execute("SELECT 1")
                connection.poll()
                for job in {notice.payload for notice in connection.notifies}:
                    self._tell(job)
                connection.notifies.clear()

    def _tell(self, job_id: str) -> None:
        with self._lock:
            mine = list(self._followers.get(job_id, ()))
            self._news[job_id] += bool(mine)
        for follower in mine:
            follower.wake()


def _connect() -> psycopg2.extensions.connection:
    options = " ".join(LIMITS)
    connection: psycopg2.extensions.connection = psycopg2.connect(
        database_url(),
        connect_timeout=5,
        application_name="argus listens",
        options=options,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=20_000,  # milliseconds
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {CHANNEL}")
    return connection


LISTENER = Listener()
