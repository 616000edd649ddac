"""The Celery app every process shares, and how messages are published.

Tasks are named strings, so a sender needs no code of the receiver: web never imports a worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import structlog
from celery import Celery
from kombu import Connection
from kombu.exceptions import BatchPublishError, OperationalError
from kombu.transport import TRANSPORT_ALIASES

from core.messages import (
    FORMAT_HEADER,
    ROUTER_QUEUE,
    SCHEDULER_QUEUE,
    CheckFiles,
    Fold,
    Learn,
    Message,
    ReadPrompts,
    Reconcile,
    TellHooks,
    Tick,
    WriteOutputs,
)
from core.services import broker_url
from core.settings import settings

log = structlog.get_logger(__name__)
RECONCILE_S = 2.0
FILES_S = 10.0
FOLD_S = 5.0
LEARN_S = 60.0
HOOKS_S = 1.0
PROMPTS_S = 5.0
OUTPUTS_S = 5.0
TRANSPORT = "core.transport:Transport"
PIPELINE = 1000  # messages a round trip to the broker
AWAY = (OperationalError, BatchPublishError, OSError)

# Publishing must answer at once when the broker is away: what was not published reconciliation publishes later.
PATIENCE = {
    "socket_timeout": 5,
    "socket_connect_timeout": 1,
    "socket_keepalive": True,
    "health_check_interval": 25,
}


def make_celery() -> Celery:
    """A Celery app on the broker in force, with the house's safe defaults."""
    TRANSPORT_ALIASES.update(redis=TRANSPORT, rediss=TRANSPORT)  # addresses stay as they are: Flower reads them
    app = Celery("argus", broker=broker_url())
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,  # PostgreSQL has the results
        task_acks_late=False,  # a lost message is published again; a redelivered one finds its row claimed
        task_create_missing_queues=True,
        task_default_queue=SCHEDULER_QUEUE,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,  # waiting messages stay where re-alignment can reach them
        worker_send_task_events=True,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={**PATIENCE, "visibility_timeout": 3600},
        beat_schedule={
            "tick": {"task": Tick.task, "schedule": settings().tick_s, "options": _beat(SCHEDULER_QUEUE)},
            "reconcile": {"task": Reconcile.task, "schedule": RECONCILE_S, "options": _beat(SCHEDULER_QUEUE)},
            "files": {"task": CheckFiles.task, "schedule": FILES_S, "options": _beat(SCHEDULER_QUEUE)},
            "fold": {"task": Fold.task, "schedule": FOLD_S, "options": _beat(SCHEDULER_QUEUE)},
            "learn": {"task": Learn.task, "schedule": LEARN_S, "options": _beat(SCHEDULER_QUEUE)},
            "prompts": {"task": ReadPrompts.task, "schedule": PROMPTS_S, "options": _beat(ROUTER_QUEUE)},
            "outputs": {"task": WriteOutputs.task, "schedule": OUTPUTS_S, "options": _beat(SCHEDULER_QUEUE)},
            "hooks": {"task": TellHooks.task, "schedule": HOOKS_S, "options": _beat(SCHEDULER_QUEUE)},
        },
        beat_schedule_filename=str(settings().run_folder / "beat.schedule"),
        timezone="UTC",
    )
    return app


def _beat(queue: str) -> dict[str, object]:
    """A tick nobody took in time is worthless: it expires."""
    return {"queue": queue, "expires": settings().tick_s}


_app: Celery | None = None


def celery_app() -> Celery:
    """The Celery app of this process, made on first use (it needs the broker's address)."""
    global _app
    if _app is None:
        _app = make_celery()
    return _app


def __getattr__(name: str) -> Celery:
    """`celery -A core.celery:app`: for Celery's own commands."""
    if name == "app":
        return celery_app()
    raise AttributeError(name)


def publish(queue: str, messages: Sequence[Message]) -> int:
    """Hand messages to the broker, a thousand a round trip; returns how many it took for certain.

    A broker that is away is logged, not raised: the rows are committed, and reconciliation publishes again. What it
    took without saying so then comes twice, which the rows allow for.
    """
    sent, kept = 0, True
    while kept and sent < len(messages):  # a connection that was kept may be dead: then once more, with a new one
        try:
            with celery_app().pool.acquire(block=True) as connection:
                kept = connection.connected
                for some in batched(messages[sent:], PIPELINE):
                    _send(queue, some, connection)
                    sent += len(some)
        except AWAY as error:
            log.warning("broker away", queue=queue, unsent=len(messages) - sent, error=str(error))
    return sent


def _send(queue: str, messages: Sequence[Message], connection: Connection) -> None:
    app = celery_app()
    connection.ensure_connection(max_retries=1, timeout=2)
    with app.amqp.Producer(connection) as producer, producer.batch(max_size=PIPELINE):
        for message in messages:
            about = {"kwargs": message.kwargs(), "headers": {FORMAT_HEADER: message.format}}
            app.send_task(message.task, queue=queue, producer=producer, retry=False, **about)


def batched(items: Sequence[Message], size: int) -> Iterator[Sequence[Message]]:
    """The items in order, so many at a time."""
    return (items[start : start + size] for start in range(0, len(items), size))
