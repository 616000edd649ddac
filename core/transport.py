"""The broker's transport, which puts aside what is no message and goes on.

kombu takes a message off its list before it reads it, and an error in reading ends the consumer, and with it what the
worker is at. What cannot be read says nothing of any request: rows are published again by reconciliation.
"""

from __future__ import annotations

from typing import Any

import structlog
from kombu.transport import redis

log = structlog.get_logger(__name__)
UNREADABLE = "argus.unreadable"  # a list of the newest, for people
COUNT = f"{UNREADABLE}.count"
KEPT = 100
CUT = 10_000  # characters of one that are kept
MALFORMED = (ValueError, KeyError, TypeError, AttributeError)


class Channel(redis.Channel):
    """A channel whose reader outlives text that is not JSON."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]  # kombu has few types
        except (UnicodeDecodeError, ValueError) as error:  # JSON's own, which keeps the text
            text: Any = getattr(error, "doc", None) or getattr(error, "object", b"")
            put_aside(self, text, error)
            return True


class Transport(redis.Transport):
    """Redis or Valkey; delivers what is a message."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        channel = self.channels[0]
        try:
            channel.Message(message, channel=channel)
        except MALFORMED as error:
            put_aside(channel, str(message), error)
        else:
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]


def put_aside(channel: redis.Channel, text: str | bytes, error: Exception) -> None:
    """Keep what could not be read beside the newest others, and count it."""
    log.error("unreadable message put aside", list=UNREADABLE, error=repr(error)[:200])
    with channel.conn_or_acquire() as client:
        client.pipeline().lpush(UNREADABLE, text[:CUT]).ltrim(UNREADABLE, 0, KEPT - 1).incr(COUNT).execute()
