"""Whether a process does its work, judged by progress: one that has messages waiting and room for them takes some.

A consumer may lose its place at the broker without an error (Celery's issues 8030, 10205 and 10302 tell of stalls
after a connection was reset), and a thread may hang. Nothing but a new process helps then, so this one ends, and
whoever supervises it starts the next: the supervisor of `argus up`, Docker Compose, systemd.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
import structlog
from celery import signals
from celery.worker import state

from core.counters import count
from core.services import broker_url

log = structlog.get_logger(__name__)
STALLED_S = 30.0  # without taking one of the messages that wait
LOOK_S = 2.0
GAP_S = 3 * LOOK_S  # between two looks: a process that was stopped has had no chance since
LEAVE_S = 20.0  # for an orderly end; the supervisor is no more patient
PATIENCE_S = 2.0


class Progress:
    """Since when a process has not taken work that it could have taken.

    Args:
        limit_s: seconds after which that is a stall.
        clock: goes on while the process is stopped; a test sets it.
    """

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_s, self._clock = limit_s, clock
        self._taken = -1
        self._since: float | None = None
        self._looked_at = clock()

    def look(self, could_take: bool, taken: int) -> bool:
        """Whether it stalls.

        Args:
            could_take: there is work and room for it, now.
            taken: how much was taken so far.
        """
        now, before = self._clock(), self._looked_at
        self._looked_at = now
        stopped = now - before > GAP_S  # by somebody, meanwhile
        if self._since is None or not could_take or taken != self._taken or stopped:
            self._taken, self._since = taken, now if could_take else None
        return self._since is not None and now - self._since > self.limit_s


class Liveness:
    """Watches this process's consumer, and ends the process when it stalls.

    Args:
        trouble: says what else hangs, if something does.
        leave: ends the process.
    """

    def __init__(
        self, trouble: Callable[[], str | None] = lambda: None, leave: Callable[[], object] | None = None
    ) -> None:
        self.stalled = False
        self._trouble, self._leave = trouble, leave or self._end
        self._taken = 0
        self._progress = Progress(STALLED_S)
        self._consumer: Any = None
        self._client = redis.Redis.from_url(broker_url(), socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S)
        signals.task_received.connect(self._count, weak=False)

    def watch(self, consumer: Any) -> None:
        """From now on; called at every reconnect, of which the first begins it."""
        first, self._consumer = self._consumer is None, consumer
        if first:
            threading.Thread(target=self._run, name="liveness", daemon=True).start()

    def look(self) -> str | None:
        """What is wrong; None while all goes on, or nobody can say."""
        could_take = self._has_room() and self._messages_wait()
        if self._progress.look(could_take, self._taken):
            return f"no message was taken for {STALLED_S:.0f} s though some wait"
        return self._trouble()

    def _run(self) -> None:
        while not self.stalled:
            time.sleep(LOOK_S)
            if (wrong := self.look()) is not None:
                self.stalled = True
                log.error("this process stalls and ends, to be started again", reason=wrong)
                count("stalled")
                self._leave()

    def _count(self, **_: Any) -> None:
        self._taken += 1

    def _has_room(self) -> bool:
        """Whether the consumer may take another message, as `worker_disable_prefetch` reckons."""
        most: int = self._consumer.controller.max_concurrency or self._consumer.pool.num_processes
        return len(state.reserved_requests) < most

    def _messages_wait(self) -> bool:
        """In a queue of this process; not known while the broker does not answer."""
        try:
            return any(self._client.llen(queue) for queue in list(self._consumer.app.amqp.queues.consume_from))
        except redis.RedisError:
            return False

    @staticmethod
    def _end() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LEAVE_S)
        os._exit(1)  # the thread that would end it hangs too
