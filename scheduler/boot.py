"""Start the scheduler's Celery worker: the tick, reconciliation, the router.

::

    python -m scheduler.boot [--queues scheduler,router] [--name scheduler@host]

One process serves both queues; two processes with a queue each keep routing off the planner's time. Next to it run
beat (one in all), `python -m workers.boot --device …` (one a device) and
`python -m workers.scoring.worker` (one or more).
"""

from __future__ import annotations

import argparse
import socket
import sys

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.celery import celery_app
from core.celery_worker import serve
from core.errors import ArgusError
from core.families import Family, load_family
from core.log import set_up_logging
from core.messages import ROUTER_QUEUE, SCHEDULER_QUEUE
from core.settings import settings

log = structlog.get_logger(__name__)
QUEUES = (SCHEDULER_QUEUE, ROUTER_QUEUE)
SLOTS = 8


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scheduler.boot", description="The scheduler's worker.")
    parser.add_argument("--queues", default=",".join(QUEUES), help="which of scheduler,router to serve (default both)")
    parser.add_argument("--name", help="Celery node name (default <first queue>@<host>)")
    asked = parser.parse_args(argv)
    queues = [queue for queue in asked.queues.split(",") if queue]
    if not queues or set(queues) - set(QUEUES):
        parser.error(f"--queues takes {' and '.join(QUEUES)}, separated by a comma")
    set_up_logging()
    try:
        return run(queues, asked.name or f"{queues[0]}@{socket.gethostname()}")
    except ArgusError as error:
        sys.stderr.write(f"error [{error.code}] {error.message}\n")
        return 1


def run(queues: list[str], name: str) -> int:
    """Register the tasks and serve the queues."""
    from scheduler.observation.readings import ReadingsShared
    from scheduler.tasks import register_tasks

    app, family = celery_app(), load_family(settings().family)
    periodic = register_tasks(app, family)
    if SCHEDULER_QUEUE in queues:
        prepare_predictor(family)
    ReadingsShared(family).start()
    return serve(app, name, queues, SLOTS, trouble=periodic.hung)


def prepare_predictor(family: Family) -> None:
    """A predictor in force before the first request, where one is shipped; else the first `learn` trains one."""
    from scheduler.prediction.retrain import Learner
    from scheduler.prediction.store import shipped

    try:
        if shipped(family):
            Learner(family).prepare()
    except SQLAlchemyError as error:
        log.warning("no predictor yet", reason=str(error))


if __name__ == "__main__":
    sys.exit(main())
