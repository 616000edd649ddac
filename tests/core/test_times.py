"""Times as they are written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.times import read_time


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-11-27T12:00", 12),
        ("2026-11-27T12:00Z", 12),
        ("2026-11-27T14:00+02:00", 12),
        ("2026-11-27T23:30+23:30", 0),
    ],
)
def test_a_time_is_kept_in_utc(text: str, hour: int) -> None:
    found = read_time(text)
    assert found == datetime(2026, 11, 27, hour, tzinfo=UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize("text", ["0001-01-01T00:00+01:00", "9999-12-31T23:59-01:00", "yesterday", "", "2026-13-01"])
def test_one_that_is_none_in_utc_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"year|isoformat|month"):
        read_time(text)
