"""Threads that a process does not wait for: in order, cancellable, and left behind when they hang."""

from __future__ import annotations

import threading
import time

import pytest

from workers.threads import DaemonExecutor, InlineExecutor


def test_work_is_done_in_order_and_errors_are_its_futures():
    executor, seen = DaemonExecutor("test"), []
    futures = [executor.submit(seen.append, n) for n in range(5)]
    failing = executor.submit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        failing.result(10)
    assert all(future.done() for future in futures)
    assert seen == [0, 1, 2, 3, 4]
    executor.shutdown()


def test_what_was_not_begun_is_cancelled_when_it_ends():
    executor, begun, go_on = DaemonExecutor("test"), threading.Event(), threading.Event()
    executor.submit(lambda: begun.set() or go_on.wait(10))
    waiting = executor.submit(print)
    assert begun.wait(10)
    assert executor.backlog == 1
    go_on.set()
    executor.shutdown(cancel_futures=True)
    assert waiting.cancelled() or waiting.done()


def test_work_that_hangs_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr("workers.threads.CLOSE_S", 0.05)
    executor, begun, never = DaemonExecutor("test"), threading.Event(), threading.Event()
    executor.submit(lambda: begun.set() or never.wait(60))
    assert begun.wait(10)
    began = time.monotonic()
    executor.shutdown(wait=True)
    assert time.monotonic() - began < 30
    never.set()


def test_inline_work_is_done_when_it_is_submitted():
    future = InlineExecutor().submit(sum, [1, 2])
    assert future.result(0) == 3
    with pytest.raises(ZeroDivisionError):
        InlineExecutor().submit(lambda: 1 / 0).result(0)
