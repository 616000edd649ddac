"""History that nothing reads any more is deleted: old plans, assignments, workers that have left, replaced predictors,
idempotency keys of yesterday, what webhooks were told, what clients chose a month and did a year ago.

What is in use stays however old it is: the plan and the predictor in force, the last two assignments of each worker and
the plans that they name. Requests, images, scores and attempts are the user's: they go with their job, whose days
`scheduler.control.prune` counts.
"""

from __future__ import annotations

import time

import structlog
from sqlalchemy import text

from core.database import transaction
from core.settings import settings

log = structlog.get_logger(__name__)
EVERY_S = 3600.0
MOST = 10_000  # rows of a table at a time: what is left goes with the next turn

KEY_DAYS = 1.0  # how long an `Idempotency-Key` is known
CHOICE_DAYS = 30.0  # and the checkpoint that a client chose

# In this order: a plan goes when no assignment names it any more, an assignment when its worker has gone.
STATEMENTS = {
    "workers": """
DELETE FROM worker w WHERE seen_at < now() - make_interval(secs => :seconds)
AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.worker = w.name AND a.outcome IS NULL)
""",
    "assignments": """
DELETE FROM assignment WHERE id IN (
    SELECT a.id FROM (
        SELECT id, worker, created_at, row_number() OVER (PARTITION BY worker ORDER BY id DESC) AS place FROM assignment
    ) a LEFT JOIN worker ON worker.name = a.worker
    WHERE a.created_at < now() - make_interval(secs => :seconds) AND (place > 2 OR worker.name IS NULL) LIMIT :most
)
""",
    "plans": """
DELETE FROM plan WHERE epoch IN (
    SELECT epoch FROM plan p WHERE created_at < now() - make_interval(secs => :seconds) AND NOT in_force
    AND NOT EXISTS (SELECT 1 FROM assignment a WHERE a.epoch = p.epoch) LIMIT :most
)
""",
    "actions": """
DELETE FROM client_action WHERE id IN (
    SELECT id FROM client_action WHERE at < now() - make_interval(secs => :actions) LIMIT :most
)
""",
    "keys": """
DELETE FROM idempotency_key WHERE (client, key) IN (
    SELECT client, key FROM idempotency_key WHERE created_at < now() - make_interval(secs => :keys) LIMIT :most
)
""",
    "webhooks": """
DELETE FROM webhook_event WHERE id IN (
    SELECT id FROM webhook_event WHERE created_at < now() - make_interval(secs => :hooks) AND state <> 'waiting'
    LIMIT :most
)
""",
    "choices": "DELETE FROM client_checkpoint WHERE chosen_at < now() - make_interval(secs => :choices)",
    "predictors": "DELETE FROM predictor WHERE created_at < now() - make_interval(secs => :seconds) AND NOT in_force",
}


def trim_history() -> dict[str, int]:
    """Delete what is older than the setting `history_days` and not in use; returns how many rows of each kind."""
    days = {"seconds": settings().history_days, "actions": settings().action_days}
    days |= {"keys": KEY_DAYS, "choices": CHOICE_DAYS, "hooks": settings().webhook_days}
    values = {**{name: 86_400 * number for name, number in days.items()}, "most": MOST}
    deleted = {}
    for kind, statement in STATEMENTS.items():
        with transaction() as session:
            deleted[kind] = session.execute(text(statement), values).rowcount  # type: ignore[attr-defined]
    if any(deleted.values()):
        log.info("history trimmed", **deleted)
    return deleted


class Trimmer:
    """Trims once an hour, however often it is asked."""

    def __init__(self) -> None:
        self._next = 0.0

    def __call__(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_S
        trim_history()
