"""Requests that are drawn in a parallel mode, in the engine: rows by themselves, which serial steps take over."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.errors import Cancelled, OutOfRange
from tests.workers.parallel.companies import batch_of
from tests.workers.toy_engine import ToyEngine
from workers.parallel.mode import Mode, Serial, draw
from workers.parallel.parataa import ParaTAA
from workers.parallel.ranks import MemberLost
from workers.parallel.way import Way, way_alone
from workers.pipelines.rows import Batch

PARATAA = way_alone("parataa")
ASKED = {"steps": 12, "guidance": 3.5, "prompt": "a red fox"}


@pytest.fixture
def toy(toys) -> ToyEngine:
    torch.set_num_threads(1)
    return ToyEngine(toys.member("unet"), **ASKED)


class Losing(Serial):
    """Serial steps that lose a member in the turn of this number."""

    def __init__(self, adapter: Any, turn: int, error: Exception) -> None:
        super().__init__(adapter)
        self.left, self.error = turn, error

    def turn(self, batch: Batch) -> None:
        self.left -= 1
        if self.left <= 0:
            raise self.error
        super().turn(batch)


def losing(turn: int, error: Exception | None = None) -> Way:
    def make(adapter: Any, batch: Batch) -> Mode:
        return Losing(adapter, turn, error or MemberLost("gone"))

    return Way("asyncdiff", make, ranks=2, warm_up=3)


def test_no_way_is_none_and_a_mode_of_several_devices_needs_them():
    assert [way_alone(name) for name in ("auto", "off")] == [None, None]
    alone = way_alone("pipefusion")
    assert alone is not None
    assert (alone.make, alone.warm_up) == (None, 1)
    assert "no other worker" in str(alone.why_not)


def test_parataa_in_the_engine_is_parataa_by_itself_and_its_record_says_so(toy):
    future, running = toy.submit("parallel", way=PARATAA)
    beside = [toy.submit(f"beside {n}", seed=n)[0] for n in range(2)]
    toy.run()
    result = future.result(0)
    mode = ParaTAA(toy.adapter, window=32)
    assert torch.equal(running.row.latent, draw(mode, batch_of(toy.adapter, **ASKED))[0])
    told = {"mode": "parataa", "ranks": 1, "warm_up": 0, "turns": mode.iterations, "fall_back": None}
    assert (result.parallel, result.reason) == (told, None)
    assert (result.steps_run, result.batch_max) == (12, 1)
    assert mode.iterations < 12
    assert [one.result(0).batch_max for one in beside] == [2, 2]  # the others shared theirs


def test_a_mode_that_cannot_be_had_costs_the_mode_and_not_the_image(toy):
    serial = toy.latent("serial")
    future, running = toy.submit("without", way=way_alone("distrifusion"))
    toy.run()
    assert torch.equal(running.row.latent, serial)
    assert future.result(0).parallel["turns"] == 0
    assert future.result(0).reason.startswith("serial steps instead of distrifusion: no other worker")


@pytest.mark.parametrize("turn", [1, 5, 12])
def test_a_member_that_is_lost_leaves_the_row_where_its_last_whole_turn_left_it(toy, turn: int):
    serial = toy.latent("serial")
    future, running = toy.submit("lost", way=losing(turn))
    toy.run()
    assert torch.equal(running.row.latent, serial)
    result = future.result(0)
    assert (result.parallel["turns"], result.parallel["fall_back"], result.steps_run) == (turn - 1, "gone", 12)


def test_a_turn_that_runs_out_of_memory_goes_on_in_serial_steps(toy):
    future, _ = toy.submit("short", way=losing(3, torch.OutOfMemoryError("out of memory")))
    toy.run()
    assert "out of memory" in future.result(0).parallel["fall_back"]
    assert toy.engine.stats()["out_of_memory"] == 1


def test_a_mode_that_refuses_the_row_says_what_it_takes(toy):
    def refusing(adapter: Any, batch: Batch) -> Mode:
        raise OutOfRange("8 rows cannot be cut into 3 patches.", field="ranks")

    future, _ = toy.submit("refused", way=Way("distrifusion", refusing, ranks=3))
    toy.run()
    assert future.result(0).parallel["fall_back"] == "8 rows cannot be cut into 3 patches."


def test_one_in_a_mode_is_cancelled_between_turns_and_does_not_stand_still(toy):
    future, running = toy.submit("cancelled", way=PARATAA)
    toy.engine.step()
    toy.engine.hold("cancelled")
    toy.engine.step()
    assert running.parallel.turns == 2
    toy.engine.cancel("cancelled")
    toy.engine.step()
    with pytest.raises(Cancelled):
        future.result(0)


def test_one_in_a_mode_keeps_its_level_and_one_that_fell_back_may_move(bench):
    b = bench()
    together, apart = (b.submit(steps=20, way=way) for way in (losing(99), losing(4)))
    for _ in range(12):
        b.engine.step()
    assert b.engine.allow("r0", ("fs-10",))
    assert b.engine.allow("r1", ("fs-10",))
    b.run()
    assert (together.result(0).level_id, together.result(0).steps_run) == ("exact", 20)
    assert apart.result(0).level_id == "fs-10"


def test_turns_of_a_mode_teach_nothing_of_what_steps_take(toy):
    toy.submit("parallel", way=PARATAA)
    toy.run()
    assert toy.engine.costs.step_s("large", 1) == 0
    toy.latent("serial")
    assert toy.engine.costs.step_s("large", 1) > 0
