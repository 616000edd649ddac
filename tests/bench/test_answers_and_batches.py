"""The benches of answers and of batches: what they measure, in small."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench import batches, facade


def test_a_small_batch_goes_all_the_way() -> None:
    with tempfile.TemporaryDirectory(prefix="argus-test-") as folder:
        Path(folder).chmod(0o755)  # as root, PostgreSQL runs as another user
        found = batches.measure(Path(folder), 30)
    assert list(found["parts"]) == ["at rest", "upload", "reading in", "finalizing", "reading answers"]
    assert min(part["peak_mb"] for part in found["parts"].values()) > 10  # how much is the bench's to say
    assert found["answers_mb"] > 0


def test_a_summary_has_the_median_within_its_interval() -> None:
    calls = [{"call": float(number), "overhead": 60.0} for number in range(1, 101)]
    found = facade.summary(calls)
    assert found["call"]["median"] == 50.5
    assert 35 < found["call"]["low"] < 50.5 < found["call"]["high"] < 66
    assert found["call"]["p95"] > 90
    assert found["overhead"] == {"median": 60.0, "low": 60.0, "high": 60.0, "p95": 60.0}
