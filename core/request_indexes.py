"""The indexes of `request`, each with what it is for.

A move of a request writes every index whose condition its row fulfils. So those over all rows are few, and the others
hold only what their readers look for. Statements have to say the condition too, as `core.open_requests` does.
"""

from __future__ import annotations

from sqlalchemy import Index, text

FOREGROUND = "(service_class = 'interactive' OR urgent) AND NOT deadline_unreachable"
QUEUED = "state = 'queued'"
UNBEGUN = "start_by IS NOT NULL AND state IN ('accepted', 'queued')"


def request_indexes() -> tuple[Index, ...]:
    """New index objects, for the table to own."""
    return (*_of_the_open(), *_of_all())


def _of_the_open() -> tuple[Index, ...]:
    return (
        # Counts by state and level: the snapshot, the tick, metrics, jobs not routed yet.
        Index("ix_request_open", "state", "level", postgresql_where="state in ('accepted','queued','running')"),
        # The router: each tenant's of each class in the order in which they are drawn.
        Index(
            "ix_request_unrouted",
            *("family", "service_class", "tenant", text("priority DESC"), "deadline_at", "position"),
            postgresql_where="state = 'accepted'",
        ),
        # Whether anything of a job is open: who waits for it, and whom to tell.
        Index("ix_request_open_job", "job_id", postgresql_where="state in ('accepted','queued','running','paused')"),
        # Claims: the most urgent of each level. The tick: all of them.
        Index(
            "ix_request_waiting",
            *("family", "level", "deadline_at", "id"),
            postgresql_where=f"{QUEUED} AND {FOREGROUND}",
        ),
        # Claims of what fills idle workers: missed deadlines, then batch work, each by its priority.
        Index(
            "ix_request_idle",
            *("family", "level", text("service_class DESC"), text("priority DESC"), "deadline_at", "id"),
            postgresql_where=f"{QUEUED} AND NOT ({FOREGROUND})",
        ),
        # Claims where several tenants want the devices: a tenant's; whether it has any.
        Index("ix_request_turn", "family", "tenant", "level", "deadline_at", "id", postgresql_where=QUEUED),
        # Missed deadlines that are owed a start.
        Index("ix_request_owed", "family", "accepted_at", "id", postgresql_where=f"{QUEUED} AND deadline_unreachable"),
        # What has to have begun by a time.
        Index("ix_request_start_by", "start_by", postgresql_where=UNBEGUN),
    )


def _of_all() -> tuple[Index, ...]:
    return (
        # Lists of all, the newest first. Demand, the sample of prompts: a database serves one family at a time.
        Index("ix_request_newest", text("accepted_at DESC"), text("id DESC")),
        # Reports: rows lie nearly in the order in which they came, so this one costs next to nothing.
        Index("ix_request_accepted_range", "accepted_at", postgresql_using="brin"),
        # The gallery, metrics, audits.
        Index("ix_request_stored", "stored_at", postgresql_where="stored_at IS NOT NULL"),
        # Images of a prompt, the newest first: searches by what prompts mean.
        Index(
            "ix_request_prompt",
            *("tenant", text("(md5(prompt)::uuid)"), text("stored_at DESC")),
            postgresql_where="stored_at IS NOT NULL",
        ),
        # Reconciliation: images that nobody has scored.
        Index("ix_request_unscored", "stored_at", postgresql_where="scored_at IS NULL AND stored_at IS NOT NULL"),
        # Images that requests begin with: whether any still does.
        *(
            Index(f"ix_request_{name}", name, postgresql_where=text(f"{name} IS NOT NULL"))
            for name in ("source_id", "mask_id", "second_id")
        ),
        # Audits: the same prompt and seed at the reference level.
        Index("ix_request_twin", "seed", text("md5(prompt)"), postgresql_where="level_asked <> 'auto'"),
    )
