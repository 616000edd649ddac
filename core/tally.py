"""Folding what happened to requests into the sums that reports and `/metrics` read (`core.tally_tables`)."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.database import transaction


def fold_in(session: Session) -> int:
    """Add what happened since the last time to the sums; returns how many events that were.

    None while another transaction folds: it does the work of both.
    """
    return session.scalar(select(func.tally_fold())) or 0


def fold() -> int:
    """`fold_in`, as a transaction of its own."""
    with transaction() as session:
        return fold_in(session)
