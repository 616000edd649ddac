"""One rule for times that somebody writes: ISO 8601, in UTC unless the text says otherwise, kept in UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def read_time(text: str) -> datetime:
    """The time that a text writes; raises `ValueError`."""
    return in_utc(datetime.fromisoformat(text))


def in_utc(time: datetime) -> datetime:
    """The same moment in UTC: PostgreSQL refuses offsets of sixteen hours and more.

    Raises:
        ValueError: there it is before the year 1 or after 9999.
    """
    try:
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("A time has to be in the years 1 to 9999, in UTC too.") from None
