"""Companies of threads and of processes keep one contract."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.workers.parallel.companies import by_processes
from workers.parallel.ranks import Alone, MemberLost, Rank, together


def talk(rank: Rank) -> list[torch.Tensor]:
    """Everything the contract has, awaited in another order than asked for."""
    first, second = rank.gather(torch.tensor([rank.rank])), rank.gather(torch.tensor([10.0 + rank.rank]))
    pair = rank.part(2)
    near = pair.gather(torch.tensor([100 + rank.rank]))
    following, before = (rank.rank + 1) % rank.world, (rank.rank - 1) % rank.world
    coming = [rank.receive(torch.empty(2), before) for _ in range(2)]
    for turn in range(2):
        rank.send(torch.tensor([float(rank.rank), float(turn)]), following)
    heard = [one.wait() for one in reversed(coming)]
    return [*second.wait(), *first.wait(), *near.wait(), *heard]


def test_each_rank_hears_what_the_others_said_in_the_order_in_which_it_was_said():
    heard = together(4, talk)
    assert [int(one) for one in heard[2][4:8]] == [0, 1, 2, 3]
    assert [int(one) for one in heard[2][8:10]] == [102, 103]
    assert heard[2][10].tolist() == [1.0, 1.0]
    assert heard[2][11].tolist() == [1.0, 0.0]


def test_processes_hear_what_threads_hear(tmp_path: Path):
    for by_thread, by_process in zip(together(4, talk), by_processes(4, talk, tmp_path), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(by_thread, by_process, strict=True))


def test_bytes_that_come_from_others_are_counted():
    def work(rank: Rank) -> int:
        rank.gather(torch.zeros(10, dtype=torch.float64)).wait()
        return rank.received

    assert together(3, work) == [160, 160, 160]
    alone = Alone()
    assert work(alone) == 0


def test_where_a_member_fails_the_others_stop_and_its_error_is_told():
    def work(rank: Rank) -> None:
        if rank.rank == 1:
            raise ZeroDivisionError("no")
        rank.gather(torch.zeros(1)).wait()

    with pytest.raises(ZeroDivisionError):
        together(3, work, timeout_s=30)


def test_a_silent_member_is_lost_after_the_timeout():
    def work(rank: Rank) -> None:
        if rank.rank == 0:
            rank.gather(torch.zeros(1)).wait()

    with pytest.raises(MemberLost, match=r"said nothing for 0\.05 s"):
        together(2, work, timeout_s=0.05)


def die_or_notice(folder: Path, rank: Rank) -> str:
    """The second process dies at once."""
    if rank.rank == 1:
        torch.save(None, folder / "1.pt")
        os._exit(1)
    began = time.monotonic()
    with pytest.raises(MemberLost):
        rank.gather(torch.zeros(1)).wait()
    return "noticed" if time.monotonic() - began < 15 else "noticed too late"


def test_a_process_that_dies_is_noticed_by_those_who_wait_for_it(tmp_path: Path):
    assert by_processes(2, partial(die_or_notice, tmp_path), tmp_path, timeout_s=20)[0] == "noticed"
