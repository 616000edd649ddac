"""What is worked off together, and what happens to it while the database is away."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import OperationalError

from core.batching import Batcher


def test_what_was_taken_waits_for_a_database_that_is_away() -> None:
    tried: list[Sequence[int]] = []

    def work(items: Sequence[int]) -> None:
        tried.append(items)
        if len(tried) < 3:
            raise OperationalError("SELECT", {}, Exception("away"))

    Batcher("test", work, 10).do(1)
    assert tried == [[1], [1], [1]]


def test_any_other_error_reaches_who_asked_and_nobody_else() -> None:
    def work(items: Sequence[int]) -> None:
        if 0 in items:
            raise ValueError("zero")

    batcher = Batcher("test", work, 1)
    with pytest.raises(ValueError, match="zero"):
        batcher.do(0)
    batcher.do(1)


def test_what_comes_while_a_batch_runs_goes_into_the_next() -> None:
    batches: list[Sequence[int]] = []
    begun, go_on = threading.Event(), threading.Event()

    def work(items: Sequence[int]) -> None:
        batches.append(items)
        begun.set()
        assert go_on.wait(10)

    batcher = Batcher("test", work, 10)
    threads = [threading.Thread(target=batcher.do, args=(item,)) for item in range(4)]
    threads[0].start()
    assert begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(batcher._waiting) < 3:
        pass
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert [sorted(batch) for batch in batches] == [[0], [1, 2, 3]]
