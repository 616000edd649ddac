"""Questions of the dashboard, answered one after the other, each by a process of its own with a bounded time."""

from __future__ import annotations

import subprocess
import sys
import uuid
from datetime import timedelta

import structlog
from sqlalchemy import delete, func, select, update

from core.database import transaction
from core.what_if_tables import WhatIf

log = structlog.get_logger(__name__)
MOST_S = 60.0  # of one answer: some 20 are usual on a machine that is not busy
STALE = timedelta(minutes=10)  # nobody waits any more
KEPT = timedelta(days=1)


def answer_what_ifs(most_s: float = MOST_S) -> int:
    """Answer what is asked; returns how many questions that were."""
    answered = 0
    while question := _next():
        _answer(question, most_s)
        answered += 1
    return answered


def _next() -> uuid.UUID | None:
    """The oldest question that nobody has begun with."""
    with transaction() as session:
        session.execute(delete(WhatIf).where(WhatIf.asked_at < func.now() - KEPT))
        waits = (WhatIf.began_at.is_(None), WhatIf.asked_at > func.now() - STALE)
        oldest = select(WhatIf.id).where(*waits).order_by(WhatIf.asked_at).limit(1).with_for_update(skip_locked=True)
        begin = update(WhatIf).where(WhatIf.id == oldest.scalar_subquery()).values(began_at=func.now())
        return session.scalar(begin.returning(WhatIf.id))


def _answer(question: uuid.UUID, most_s: float) -> None:
    command = [sys.executable, "-m", "scheduler.simulate.what_if", str(question)]
    try:
        ended = subprocess.run(command, timeout=most_s, capture_output=True, text=True)
        error = "The simulation failed; the scheduler's log says why." if ended.returncode else None
        if error:
            log.error("what-if failed", question=str(question), said=ended.stderr[-2000:])
    except subprocess.TimeoutExpired:
        error = f"The simulation took longer than {most_s:g} s and was ended. The machine is busy: ask again later."
    if error:
        with transaction() as session:
            mine = update(WhatIf).where(WhatIf.id == question, WhatIf.ended_at.is_(None))
            session.execute(mine.values(error=error, ended_at=func.now()))
