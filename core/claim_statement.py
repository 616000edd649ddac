"""Move D of `core.requests`, as one statement: built once, because building it takes longer than executing it.

A row that somebody else is just taking is passed over, not waited for. Nor is the disk: a claim that a crash of the
server takes back is a request that waits again.
"""

from __future__ import annotations

from sqlalchemy import bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.types import Text

from core.tables import Request

CLAIM = select(Request).from_statement(
    text(
        """
WITH taken AS (
    UPDATE request SET state = 'running', worker = :worker, attempts = attempts + 1, started_at = now(),
        level = coalesce(:level, level),
        note = CASE WHEN :note IS NULL THEN note ELSE concat_ws('; ', note, :note) END
    WHERE id = (
        SELECT id FROM request WHERE id = :id AND state = 'queued' AND level = ANY(:levels)
            AND (start_by IS NULL OR start_by >= now() OR started_at IS NOT NULL) FOR UPDATE SKIP LOCKED
    ) AND set_config('synchronous_commit', 'off', true) = 'off' RETURNING *
), begun AS (
    INSERT INTO attempt (id, request_id, number, worker, boot, level, model)
    SELECT :attempt, id, attempts, :worker, :boot, level, CAST(:models AS jsonb) ->> level FROM taken
)
SELECT * FROM taken
"""
    ).bindparams(
        *(bindparam(name, type_=UUID()) for name in ("id", "attempt", "boot")),
        bindparam("levels", type_=ARRAY(Text())),
        bindparam("models", type_=JSONB()),
    )
)
