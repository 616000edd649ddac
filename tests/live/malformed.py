"""Messages that are nearly some: a real one with a part that is missing, of another kind, damaged or absurd."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

ODD: list[Any] = [None, True, 0, -1, 1e308, 10**400, "", "x", "\x00", "é" * 5, [], [1], {}, {"a": {"b": []}}, "9" * 400]
PARTS = ["args", "kwargs", "embed"]


def body(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def real(queue: str, task: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """A message as kombu and Celery put it on a list."""
    headers = {"lang": "py", "task": task, "id": "1", "root_id": "1", "parent_id": None, "group": None, "retries": 0}
    headers |= {
        "eta": None,
        "expires": None,
        "timelimit": [None, None],
        "origin": "test",
        "argsrepr": "",
        "shadow": None,
    }
    properties = {"correlation_id": "1", "reply_to": "r", "delivery_mode": 2, "priority": 0, "body_encoding": "base64"}
    properties |= {"delivery_tag": "t", "delivery_info": {"exchange": "", "routing_key": queue}}
    content = {"content-encoding": "utf-8", "content-type": "application/json"}
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return {"body": body([[], kwargs, embed]), **content, "headers": headers, "properties": properties}


def malformed(seed: int, message: dict[str, Any]) -> bytes:
    """The message, harmed in one to three ways."""
    chance, made = random.Random(seed), json.loads(json.dumps(message))
    for _ in range(chance.randint(1, 3)):
        where = chance.choice([made, made.get("headers"), made.get("properties"), made])
        if not isinstance(where, dict) or not where:
            continue
        name = chance.choice(sorted(where))
        if chance.random() < 0.4:
            del where[name]
        else:
            where[name] = chance.choice(ODD)
    if chance.random() < 0.3:
        made["body"] = body(
            chance.choice([*ODD, [[], {"number": chance.choice(ODD)}, {}], [[1, 2, 3], {}, {}], [[], []]])
        )
    data = json.dumps(made).encode()
    if chance.random() < 0.3:
        place = chance.randrange(len(data))
        data = chance.choice(
            [data[:place], data[:place] + b"\xff" + data[place:], b"[" * place, chance.randbytes(place)]
        )
    return data
