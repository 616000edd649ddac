"""How long a fault was felt, from made-up ledgers; what a ledger file keeps."""

from pathlib import Path

import pytest

from bench.chaos.ledger import Kept, Ledger, Promise, Refused, Strike
from bench.chaos.recovery import felt, table


def made(path: Path | None = None) -> Ledger:
    """A fault from 10 to 12; a is accepted before it and final at 20, b after it and done at 15."""
    ledger = Ledger(path)
    for entry in (
        Promise(1, ("early",), True, 1.0),
        Promise(2, ("a",), True, 9.0),
        Promise(3, ("later",), False, 9.5),
        Strike(1, "worker killed", "processes", "worker-cpu0", 10.0, 12.0, True),
        Strike(2, "COMMIT cut", "database", "0 answers", 12.0, 12.5, False),
        Promise(4, ("failed", "b"), True, 13.0),
        Kept("early", "done", 5.0),
        Kept("failed", "failed", 14.0),
        Kept("b", "done", 15.0),
        Kept("a", "done", 20.0),
        Kept("later", "done", 90.0),
        Refused(5, "503", 30.0),
    ):
        ledger.add(entry)
    return ledger


def test_recovery_counts_from_the_end_of_the_fault():
    (after,) = felt(made())
    assert (after.first_s, after.backlog_s) == (3.0, 8.0)


def test_a_backlog_that_never_ended_is_no_number():
    ledger = made()
    ledger.kept = [kept for kept in ledger.kept if kept.request not in ("a", "b")]
    (after,) = felt(ledger)
    assert (after.first_s, after.backlog_s) == (None, None)


def test_nothing_open_before_a_fault_is_a_backlog_of_no_length():
    ledger = made()
    ledger.promises = [promise for promise in ledger.promises if promise.wish != 2]
    assert felt(ledger)[0].backlog_s == 0.0


def test_the_table_counts_faults_that_met_nothing_but_not_their_times():
    cut, killed = table(made())
    assert (cut.kind, cut.count, cut.hit, cut.first_s, cut.backlog_s) == ("COMMIT cut", 1, 0, None, None)
    assert (killed.kind, killed.count, killed.hit) == ("worker killed", 1, 1)
    assert (killed.first_s, killed.backlog_s) == (pytest.approx((3.0, 3.0)), pytest.approx((8.0, 8.0)))


def test_a_ledger_is_read_again_as_it_was_written(tmp_path: Path):
    written = made(tmp_path / "ledger.jsonl")
    read = Ledger.read(tmp_path / "ledger.jsonl")
    assert (read.strikes, read.promises) == (written.strikes, written.promises)
    assert (read.kept, read.refused) == (written.kept, written.refused)


def test_what_is_open_is_what_was_promised_and_not_seen_final():
    ledger = made()
    ledger.add(Promise(6, ("x", "y"), True, 40.0))
    ledger.add(Kept("y", "done", 41.0))
    assert ledger.open() == ["x"]
