"""The broker's transport, which puts aside what is no message and goes on.

kombu takes a message off its list before it reads it, and an error in reading ends the consumer, and with it what the
worker is at; one that was not acknowledged then comes back, to end the next consumer too. What cannot be read says
nothing of any request: rows are published again by reconciliation.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import structlog
from kombu.transport import redis, virtual
from redis import DataError

log = structlog.get_logger(__name__)
UNREADABLE = "argus.unreadable"  # a list of the newest, for people
COUNT = f"{UNREADABLE}.count"
KEPT = 100
CUT = 10_000  # characters of one that are kept
NOT_JSON = (ValueError, RecursionError)
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, DataError)


class Unreadable(Exception):
    """What came is no message; its text is the only argument."""


class Message(virtual.Message):
    """A message that says so where it is none."""

    def __init__(self, payload: Any, channel: Any = None, **more: Any) -> None:
        try:
            super().__init__(payload, channel=channel, **more)  # type: ignore[no-untyped-call]  # kombu has few types
        except MALFORMED as error:
            raise Unreadable(str(payload)) from error


class Channel(redis.Channel):
    """A channel whose reader outlives what is not JSON, and whose consumer outlives what is not a task."""

    Message = Message

    def basic_consume(self, queue: str, *given: Any, **more: Any) -> None:
        super().basic_consume(queue, *given, **more)  # type: ignore[no-untyped-call]
        deliver = self.connection._callbacks[queue]

        def delivered(raw: Any) -> None:
            try:
                deliver(raw)
            except MALFORMED as error:
                self._acknowledge(raw)
                raise Unreadable(str(raw)) from error

        self.connection._callbacks[queue] = delivered

    def _acknowledge(self, raw: Any) -> None:
        """It is not to come back."""
        with suppress(*MALFORMED):
            tag = raw["properties"]["delivery_tag"]
            if tag in self.qos._delivered:
                self.qos.ack(tag)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except NOT_JSON as error:
            put_aside(self, getattr(error, "doc", None) or getattr(error, "object", None) or repr(error), error)
        except Unreadable as error:
            put_aside(self, str(error), error.__cause__ or error)
        return True


class Transport(redis.Transport):
    """Redis or Valkey, through such channels."""

    Channel = Channel


def put_aside(channel: redis.Channel, text: str | bytes, error: BaseException) -> None:
    """Keep what could not be read beside the newest others, and count it."""
    log.error("unreadable message put aside", list=UNREADABLE, error=repr(error)[:200])
    with channel.conn_or_acquire() as client:
        client.pipeline().lpush(UNREADABLE, text[:CUT]).ltrim(UNREADABLE, 0, KEPT - 1).incr(COUNT).execute()
