"""Values that processes share for a few seconds, in the broker: what one has read, the others need not read.

Nothing depends on them. A broker that is away, slow or empty answers None, and is then left alone for a while.
"""

from __future__ import annotations

import json
import time
from functools import lru_cache
from typing import Any

import redis
import structlog

from core.services import broker_url

log = structlog.get_logger(__name__)
PATIENCE_S = 0.25  # somebody's picture may wait for the answer
PAUSE_S = 5.0  # after it did not answer


class SharedValues:
    """JSON values by name, each gone after its time."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S)
        self._asked_again_at = 0.0

    def get(self, name: str) -> Any | None:
        """The value; None when there is none."""
        return self._tried(lambda: _value(self._client.get(_key(name))))

    def get_in_turn(self, name: str, every_s: float) -> tuple[bool, Any | None]:
        """The value, and whether it is the asker's turn to renew it: of all who ask, one in `every_s` seconds."""

        def ask() -> tuple[bool, Any | None]:
            turn = self._client.pipeline(transaction=False)
            turn.set(f"{_key(name)}:turn", "taken", nx=True, px=int(1000 * every_s))
            turn.get(_key(name))
            mine, found = turn.execute()
            return bool(mine), _value(found)

        return self._tried(ask) or (False, None)

    def put(self, name: str, value: Any, for_s: float, next_turn_s: float = 0.0) -> None:
        """Share a value for so long; with `next_turn_s` nobody else's turn comes before that."""

        def tell() -> None:
            both = self._client.pipeline(transaction=False)
            both.set(_key(name), json.dumps(value), px=int(1000 * for_s))
            if next_turn_s:
                both.set(f"{_key(name)}:turn", "taken", px=int(1000 * next_turn_s))
            both.execute()

        self._tried(tell)

    def forget(self, name: str) -> None:
        """It is no longer true: whoever asks next renews it."""
        self._tried(lambda: self._client.delete(_key(name), f"{_key(name)}:turn"))

    def _tried(self, ask: Any) -> Any | None:
        if time.monotonic() < self._asked_again_at:
            return None
        try:
            return ask()
        except (redis.RedisError, OSError, ValueError) as error:
            log.warning("nothing is shared for now", error=str(error))
            self._asked_again_at = time.monotonic() + PAUSE_S
            return None


def _key(name: str) -> str:
    return f"argus:{name}"


def _value(found: Any) -> Any | None:
    return None if found is None else json.loads(found)


@lru_cache(maxsize=2)
def _shared(url: str) -> SharedValues:
    return SharedValues(url)


def shared_values() -> SharedValues:
    """Those of the broker in force."""
    return _shared(broker_url())
