"""Running a Celery worker of threads inside this process, until SIGTERM."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from celery import Celery, signals
from celery.platforms import SecurityWarning

from core.liveness import Liveness
from core.log import set_up_logging
from core.memory import freeze_loaded


def serve(
    app: Celery,
    name: str,
    queues: Sequence[str],
    slots: int,
    on_ready: Callable[[Any], object] = lambda consumer: None,
    on_stopping: Callable[[], object] = lambda: None,
    trouble: Callable[[], str | None] = lambda: None,
) -> int:
    """Consume these queues with `slots` threads; returns the exit status, 1 when it ended because it stalled.

    SIGTERM takes nothing new and waits for what runs; `on_stopping` is called then, in the signal handler,
    so it must return at once. `on_ready` gets the consumer, every time it has connected. `trouble` says what hangs, if
    something does (`core.liveness`).
    """
    liveness = Liveness(trouble)
    _connect(liveness, on_ready, on_stopping)
    warnings.simplefilter("ignore", SecurityWarning)  # as root: messages are JSON and carry ids only
    worker = app.Worker(
        hostname=name,
        pool_cls="threads",
        concurrency=slots,
        queues=list(queues),
        without_mingle=True,
        without_gossip=True,
        loglevel="INFO",
        quiet=True,
    )
    freeze_loaded()
    worker.start()
    return int(worker.exitcode or liveness.stalled)


def _connect(liveness: Liveness, on_ready: Callable[[Any], object], on_stopping: Callable[[], object]) -> None:
    """Have Celery tell these what happens."""

    def logging_is_ours(**_: Any) -> None:
        set_up_logging()
        for a_line_a_task in ("celery.worker.strategy", "celery.app.trace"):
            logging.getLogger(a_line_a_task).setLevel(logging.WARNING)

    def ready(sender: Any, **_: Any) -> None:
        liveness.watch(sender)
        on_ready(sender)

    def stopping(**_: Any) -> None:
        on_stopping()

    signals.setup_logging.connect(logging_is_ours, weak=False)
    signals.worker_ready.connect(ready, weak=False)
    signals.worker_shutting_down.connect(stopping, weak=False)
