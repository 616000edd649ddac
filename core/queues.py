"""What is asked of the broker: how deep queues are, who serves them, and telling workers something at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import structlog
from amqp.exceptions import ChannelError
from kombu.exceptions import OperationalError

from core.celery import celery_app
from core.errors import ServiceDown
from core.families import Family
from core.messages import QUALITY_QUEUE, ROUTER_QUEUE, SCHEDULER_QUEUE

log = structlog.get_logger(__name__)
ANSWER_S = 1.0
AWAY = (OperationalError, ConnectionError, OSError)


def all_queues(family: Family) -> list[str]:
    """Every queue that carries messages while this family is served."""
    return [ROUTER_QUEUE, SCHEDULER_QUEUE, QUALITY_QUEUE, *(family.queue(level) for level in family.levels)]


def depths(queues: Iterable[str]) -> dict[str, int] | None:
    """Messages waiting in each queue; None while the broker is away."""
    try:
        return ask_depths(queues)
    except ServiceDown as error:
        log.warning("broker away", error=error.message)
        return None


def ask_depths(queues: Iterable[str]) -> dict[str, int]:
    """Messages waiting in each queue; raises `ServiceDown`, saying why, while the broker is away."""
    try:
        with celery_app().connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
            channel = connection.default_channel
            return {queue: _depth(channel, queue) for queue in queues}
    except AWAY as error:
        raise ServiceDown(f"The broker does not answer: {error}") from error


def _depth(channel: Any, queue: str) -> int:
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:  # nobody has used it yet
        return 0


def served_by(workers: Sequence[str]) -> dict[str, set[str]]:
    """The queues that each of these workers says it consumes; those that do not answer in a second are left out."""
    if not workers:
        return {}
    try:
        asked = celery_app().control.inspect(destination=list(workers), timeout=ANSWER_S, limit=len(workers))
        answers = asked.active_queues()
    except AWAY as error:
        log.warning("broker away", error=str(error))
        return {}
    return {worker: {queue["name"] for queue in queues} for worker, queues in (answers or {}).items()}


def process_of(worker: str) -> int | None:
    """Process id of the worker of this name, as it says itself; None when it does not answer in a second."""
    try:
        answers = celery_app().control.inspect(destination=[worker], timeout=ANSWER_S, limit=1).stats()
    except AWAY as error:
        log.warning("broker away", error=str(error))
        return None
    return int(answers[worker]["pid"]) if answers and worker in answers else None


def tell(workers: Sequence[str], models: Sequence[str], queues: Sequence[str]) -> None:
    """Send workers the command `assign`. Who misses it reads its assignment again by itself."""
    call(workers, "assign", models=list(models), queues=list(queues))


def call(workers: Sequence[str], command: str, **arguments: Any) -> None:
    """Send workers a command, which may get lost."""
    try:
        celery_app().control.broadcast(command, arguments=arguments, destination=list(workers))
    except AWAY as error:
        log.warning("broker away", workers=len(workers), error=str(error))
