"""Requests share a device, or one has it to itself."""

from __future__ import annotations

import threading

from workers.company import Company


def test_one_that_wants_to_be_alone_waits_for_those_that_run_and_those_that_come_wait_for_it():
    company, order, leave = Company(), [], {name: threading.Event() for name in ("first", "second", "alone", "later")}
    entered = {name: threading.Event() for name in leave}

    def run(name, alone=False):
        with company.turn(alone):
            order.append(name)
            entered[name].set()
            assert leave[name].wait(10)

    threads = {name: threading.Thread(target=run, args=(name, name == "alone")) for name in leave}
    for name in ("first", "second"):
        threads[name].start()
        assert entered[name].wait(10)  # both at once
    threads["alone"].start()
    while not company.wanted_alone:
        pass
    threads["later"].start()
    for name in ("first", "second"):
        assert order == ["first", "second"]
        leave[name].set()
        threads[name].join(10)
    assert entered["alone"].wait(10)
    assert order == ["first", "second", "alone"]
    leave["alone"].set()
    leave["later"].set()
    for name in ("alone", "later"):
        threads[name].join(10)
    assert order == ["first", "second", "alone", "later"]


def test_an_error_ends_a_turn():
    company = Company()
    for alone in (True, False, True):
        try:
            with company.turn(alone):
                raise ValueError
        except ValueError:
            pass
    with company.turn(True):
        pass
