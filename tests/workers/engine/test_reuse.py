"""Rows that reuse deep features share batches with all others, each at its own phase, and end as alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from core.errors import Cancelled
from core.families import Family
from core.reuse_plans import read_plan
from tests.workers.toy_engine import ToyEngine
from tests.workers.toys import make_request, with_reuse
from workers.engine.engine import Engine

STEPS = 7


class Room(ToyEngine):
    """Such an engine of a UNet, and the rows of each forward that its parts made."""

    def __init__(self, family: Family) -> None:
        super().__init__(family, "cq", steps=STEPS, guidance=1.0)
        self.whole: list[int] = []
        self.shallow: list[int] = []
        self.adapter.denoiser_net.register_forward_hook(lambda _, given, out: self.whole.append(len(given[0])))
        self.adapter.split.shallow_net.register_forward_hook(lambda _, given, out: self.shallow.append(len(given[0])))

    def forwards(self) -> tuple[list[int], list[int]]:
        """Rows of the whole and of the shallow forwards since the last call."""
        counted = self.whole, self.shallow
        self.whole, self.shallow = [], []
        return counted


@pytest.fixture(scope="module", params=["sd15", "unet"])
def family(toys: Any, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    made = toys.member("unet") if request.param == "unet" else toys.family(request.param, "euler")
    return with_reuse(made, tmp_path_factory.mktemp(f"reuse-{request.param}"))


@pytest.fixture
def room(family: Family) -> Room:
    return Room(family)


def starts_of(family: Family) -> tuple[int, ...]:
    return read_plan(family.level("cq").calibration_location).starts


def test_a_request_alone_computes_its_deep_part_at_the_steps_of_the_plan(room: Room):
    room.latent("one")
    starts = starts_of(room.family)
    assert len(starts) == 3
    assert room.forwards() == ([1] * 3, [1] * (STEPS - 3))
    assert (room.adapter.forwards, room.adapter.shallow_forwards) == (3, STEPS - 3)


def test_rows_at_different_phases_share_whole_forwards_with_exact_rows_and_shallow_ones_with_each_other(room: Room):
    starts = starts_of(room.family)
    room.submit("exact", "exact")
    room.submit("first")
    room.engine.step()
    room.submit("second")
    room.run()
    expected_whole = [1 + (step in starts) + (step - 1 in starts) for step in range(STEPS)]
    expected_shallow = [(step not in starts) + (step > 0 and step - 1 not in starts) for step in range(STEPS)]
    last = STEPS - 1 in starts
    whole, shallow = room.forwards()
    assert whole == [*expected_whole, *([1] if last else [])]
    assert shallow == [rows for rows in [*expected_shallow, 0 if last else 1] if rows]


def test_requests_at_different_phases_end_as_alone_though_others_come_and_go(room: Room):
    asked = {"one": {"seed": 1, "guidance": 3.0}, "two": {"seed": 2}, "three": {"seed": 3, "guidance": 2.0}}
    alone = {name: room.latent(name, **changes) for name, changes in asked.items()}
    alone["plain"] = room.latent("plain", "exact", seed=9)
    running = {"one": room.submit("one", **asked["one"])[1], "plain": room.submit("plain", "exact", seed=9)[1]}
    room.engine.step()
    room.submit("gone", seed=8)
    running["two"] = room.submit("two", **asked["two"])[1]
    room.engine.step()
    room.engine.step()
    running["three"] = room.submit("three", **asked["three"])[1]
    room.engine.cancel("gone")
    room.run()
    for name, latent in alone.items():
        assert (running[name].row.latent - latent).abs().max() <= 1e-9, name


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
def test_a_preempted_request_takes_its_features_with_it_and_computes_nothing_twice(room: Room, after: int):
    alone = room.latent("one", seed=4, guidance=3.0)
    whole, shallow = room.forwards()
    future, running = room.submit("one", seed=4, guidance=3.0)
    for _ in range(after):
        room.engine.step()
    room.engine.preempt("one")
    room.engine.step()
    with pytest.raises(Cancelled):
        future.result(0)
    again = dataclasses.replace(running.request, attempt=2)
    room.engine.submit(again)
    resumed = room.engine.find("one")
    room.run()
    assert (resumed.row.latent - alone).abs().max() <= 1e-9
    assert room.forwards() == (whole, shallow)


def test_a_request_that_stands_still_for_others_goes_on_with_its_features(room: Room):
    alone = room.latent("one", seed=4)
    assert (room.held("one", 2, seed=4) - alone).abs().max() <= 1e-9


def test_a_request_of_other_steps_runs_in_full_and_says_why(room: Room):
    future, running = room.submit("other", steps=5, seed=3)
    room.run()
    assert future.result(0).reason == "cq is calibrated for 7 steps of 64×64: run in full"
    assert room.forwards()[1] == []
    assert torch.equal(running.row.latent, room.latent("exact", "exact", steps=5, seed=3))


def test_what_is_reused_changes_the_picture_and_a_plan_that_computes_every_step_does_not(toys: Any, tmp_path: Any):
    made = toys.family("sd15", "euler")
    for interval, same in ((1, True), (3, False)):
        room = Room(with_reuse(made, tmp_path / str(interval), interval))
        assert torch.equal(room.latent("one", seed=4), room.latent("two", "exact", seed=4)) is same


def test_a_step_of_which_a_part_was_reused_is_no_measurement_of_the_models_steps(room: Room):
    observed = []
    room.engine.costs.observe_step = lambda curve, rows, seconds: observed.append((curve, rows))
    room.latent("one")
    assert observed == [(room.adapter.model.id, 1)] * 3


def test_a_request_whose_calibration_was_lost_runs_in_full_and_says_why(family: Family, tmp_path: Any):
    lost = family.level("cq").model_copy(update={"calibration": str(tmp_path / "none.json")})
    engine = Engine(family.model_copy(update={"levels": {**family.levels, "cq": lost}}), threaded=False)
    engine.load(next(iter(family.models)))
    future = engine.submit(make_request(level=lost, steps=STEPS))
    while engine.step():
        pass
    assert future.result(0).reason == "cq is without its calibration: run in full"
    assert future.result(0).steps_run == STEPS
