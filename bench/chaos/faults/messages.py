"""Messages dropped, doubled, malformed. The next message is taken off its list as a consumer would take it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import redis

from bench.chaos.fault import Fault, Hit, fault
from bench.chaos.site import Site
from core.families import load_family
from core.messages import QUALITY_QUEUE, ROUTER_QUEUE, SCHEDULER_QUEUE

FAMILY = "messages"
PATIENCE_S = 4  # with which the next message is waited for
TAKEN = 3
BODY = base64.b64encode(b'[["x"],{},{}]').decode()
PROPERTIES = {"delivery_tag": "t", "delivery_info": {}, "body_encoding": "base64"}
MALFORMED = [
    b"",
    b"\xff\xfe",
    b"not JSON",
    b"[1, 2]",
    b"null",
    b"{}",
    json.dumps({"body": BODY}).encode(),
    json.dumps({"body": BODY, "properties": {}}).encode(),
    json.dumps({"body": "!", "headers": {}, "properties": PROPERTIES}).encode(),
    json.dumps({"body": BODY, "headers": {}, "content-type": "text/x", "properties": PROPERTIES}).encode(),
    json.dumps({"body": BODY, "headers": {"task": "nobody.knows", "id": "1"}, "properties": PROPERTIES}).encode(),
]


def queues(site: Site) -> list[str]:
    """All that carry messages; which is looked at first is by their order."""
    family = load_family(site.settings["ARGUS_FAMILY"])
    return [*(family.queue(level) for level in family.levels), QUALITY_QUEUE, ROUTER_QUEUE, SCHEDULER_QUEUE]


def next_message(site: Site, client: redis.Redis, rng: Random) -> tuple[str, bytes] | None:
    """The message that comes next in one of some queues."""
    some = rng.sample(queues(site), 4)
    found: Any = client.brpop(some, timeout=PATIENCE_S)
    return (found[0].decode(), found[1]) if found else None


def dropped(site: Site, rng: Random) -> Iterator[Hit]:
    hit = Hit("no queue", False)
    try:
        with site.broker() as client:
            if found := next_message(site, client, rng):
                more = client.rpop(found[0], TAKEN) or []
                hit = Hit(f"{1 + len(more)} of {found[0]}")
    except redis.RedisError:
        pass
    yield hit


def doubled(site: Site, rng: Random) -> Iterator[Hit]:
    hit = Hit("no queue", False)
    try:
        with site.broker() as client:
            if found := next_message(site, client, rng):
                client.rpush(found[0], found[1], found[1])
                hit = Hit(found[0])
    except redis.RedisError:
        pass
    yield hit


def malformed(site: Site, rng: Random) -> Iterator[Hit]:
    queue, met = rng.choice(queues(site)), True
    try:
        with site.broker() as client:
            client.lpush(queue, *rng.sample(MALFORMED, TAKEN))
    except redis.RedisError:
        met = False
    yield Hit(queue, met)


FAULTS: list[Fault] = [
    fault("messages dropped", FAMILY, dropped, weight=8.0),
    fault("a message doubled", FAMILY, doubled, weight=8.0),
    fault("messages malformed", FAMILY, malformed, weight=8.0),
]
