"""What processes have done, counted in the broker for `/metrics`. Like any counter it begins anew when that does."""

from __future__ import annotations

from functools import lru_cache

import redis
import structlog

from core.services import broker_url
from core.transport import COUNT as UNREADABLE

log = structlog.get_logger(__name__)
KEY = "argus.counters"
PATIENCE_S = 1.0


def count(name: str, number: int = 1) -> None:
    """Add to a counter; a broker that is away loses it."""
    if not number:
        return
    try:
        _client(broker_url()).hincrby(KEY, name, number)
    except redis.RedisError as error:
        log.warning("not counted", counter=name, number=number, error=str(error))


def counted() -> dict[str, int]:
    """Every counter, with the messages that could not be read; empty while the broker is away."""
    try:
        both = _client(broker_url()).pipeline(transaction=False)
        both.hgetall(KEY)
        both.get(UNREADABLE)
        counters, unreadable = both.execute()
    except redis.RedisError:
        return {}
    return {**{name.decode(): int(value) for name, value in counters.items()}, "unreadable": int(unreadable or 0)}


@lru_cache(maxsize=2)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S)
