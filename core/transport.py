"""The broker's transport, which puts aside what is no message and goes on.

kombu takes a message off its list before it reads it, and an error in reading ends the consumer, and with it what the
worker is at. What cannot be read says nothing of any request: rows are published again by reconciliation.
"""

from __future__ import annotations

import json
from typing import Any

import structlog
from kombu.transport import redis, virtual

log = structlog.get_logger(__name__)
UNREADABLE = "argus.unreadable"  # a list of the newest, for people
COUNT = f"{UNREADABLE}.count"
KEPT = 100
CUT = 10_000  # characters of one that are kept
MALFORMED = (ValueError, KeyError, TypeError, AttributeError)


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
    """A channel whose reader outlives text that is not JSON."""

    Message = Message

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except json.JSONDecodeError as error:
            put_aside(self, error.doc, error)
        except UnicodeDecodeError as error:
            put_aside(self, error.object, error)
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
