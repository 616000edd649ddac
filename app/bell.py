"""Telling the router that something was accepted. It then takes all that waits, so a message stands for many jobs.

::

    ring   ring ring ring            ring
    │      └─────────────┐           │
    Route ──── QUIET_S ──▶ Route     Route

The first job is told of at once; those that are committed soon after it, together when QUIET_S have passed. A message
that is lost costs time: rows say what is accepted, and reconciliation tells of it again.
"""

from __future__ import annotations

import threading
import time
import uuid

from app.parking import Alarms
from core.celery import publish
from core.messages import ROUTER_QUEUE, Route

QUIET_S = 0.05


class Bell:
    """Rings for the router, at most once in QUIET_S."""

    def __init__(self) -> None:
        self._lock, self._alarms = threading.Lock(), Alarms()
        self._quiet_until = 0.0
        self._due = False  # it will ring when it has been quiet
        self._heard = True  # the broker took the last message

    def ring(self, job_id: uuid.UUID) -> bool:
        """Have a job routed that is committed; returns whether the broker took the message, or, where that is sent a
        little later, the one before it."""
        with self._lock:
            if self._due:
                return self._heard
            if self._heard and time.monotonic() < self._quiet_until:
                self._due = True
                self._alarms.at(self._quiet_until, lambda: self._send(job_id))
                return True
        self._send(job_id)
        return self._heard

    def _send(self, job_id: uuid.UUID) -> None:
        with self._lock:  # what is committed from now on rings again
            self._due, self._quiet_until = False, time.monotonic() + QUIET_S
        self._heard = publish(ROUTER_QUEUE, [Route(str(job_id))]) == 1


BELL = Bell()
