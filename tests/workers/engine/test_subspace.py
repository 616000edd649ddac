"""Rows that begin at half the size change batch when they grow, and end as alone, whatever happens to them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from PIL import Image

from core.errors import BadFamily, Cancelled
from core.families import Family
from core.levels import Level
from core.loras import LoraUse
from tests.workers.toy_engine import ToyEngine
from tests.workers.toy_loras import save_lora, with_loras
from tests.workers.toys import with_subspace

STEPS, HALF = 7, 3
FAMILIES = {"sd15": "euler", "sdxl": "euler", "sd3": None, "flux": None, "unet": None, "dit": None}


class Room(ToyEngine):
    """Such an engine, and the shapes of the latents of each forward."""

    def __init__(self, family: Family) -> None:
        super().__init__(family, "sub", steps=STEPS, guidance=1.0)
        self.seen: list[tuple[int, ...]] = []
        denoise = self.adapter.denoise
        self.adapter.denoise = lambda batch: (self.seen.append(tuple(batch.latents.shape)), denoise(batch))[1]

    def rows(self, whole: bool) -> list[int]:
        """Rows of the forwards at the whole size, or at half of it, since the last call of both."""
        largest = max(torch.Size(shape[1:]).numel() for shape in self.seen)
        return [shape[0] for shape in self.seen if (torch.Size(shape[1:]).numel() == largest) == whole]


def family_of(toys: Any, name: str) -> Family:
    return with_subspace(toys.member(name) if name in ("unet", "dit") else toys.family(name, FAMILIES[name]), HALF)


@pytest.fixture(params=["sd15", "unet"])
def room(toys: Any, request: pytest.FixtureRequest) -> Room:
    return Room(family_of(toys, request.param))


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_in_every_pipeline_class_a_row_has_its_first_steps_at_half_the_size_and_ends_as_alone_among_others(
    toys: Any, name: str
):
    room = Room(family_of(toys, name))
    asked = {"one": {"seed": 1, "guidance": 3.0}, "two": {"seed": 2}}
    alone = {key: room.latent(key, **given) for key, given in asked.items()}
    alone["plain"] = room.latent("plain", "exact", seed=9)
    assert room.rows(whole=False) == [1] * 2 * HALF
    assert room.rows(whole=True) == [1] * (2 * (STEPS - HALF) + STEPS)
    assert alone["one"].shape == alone["plain"].shape
    running = {"one": room.submit("one", **asked["one"])[1], "plain": room.submit("plain", "exact", seed=9)[1]}
    room.engine.step()
    room.engine.step()
    running["two"] = room.submit("two", **asked["two"])[1]
    room.run()
    for key, latent in alone.items():
        assert (running[key].row.latent - latent).abs().max() <= 1e-9, key


def test_rows_of_a_size_share_forwards_with_others_of_that_size_at_any_level(room: Room):
    for number in range(3):
        room.submit(f"sub-{number}", seed=number)
        room.submit(f"exact-{number}", "exact", seed=number)
    room.submit("small", "exact", seed=5, width=32, height=32)
    room.run()
    assert max(room.rows(whole=False)) == 4
    assert max(room.rows(whole=True)) == 6
    assert sum(room.rows(whole=False)) == 3 * HALF + STEPS
    assert sum(room.rows(whole=True)) == 3 * (STEPS - HALF) + 3 * STEPS


def test_a_row_that_grows_where_its_batch_is_full_waits_until_one_leaves(room: Room):
    room.engine._batches.max_rows = 2
    futures = [room.submit(f"exact-{number}", "exact", seed=number)[0] for number in range(2)]
    room.engine.step()
    late, running = room.submit("late", seed=7)
    room.run()
    assert [future.result(0).steps_run for future in [*futures, late]] == [STEPS] * 3
    assert max(room.rows(whole=True)) == 2
    assert (running.row.latent - room.latent("again", seed=7)).abs().max() <= 1e-9


@pytest.mark.parametrize("after", range(1, STEPS))
def test_a_preempted_request_continues_at_the_size_it_had(room: Room, after: int):
    alone = room.latent("one", seed=4, guidance=3.0)
    expected = len(room.seen)
    room.seen.clear()
    future, running = room.submit("one", seed=4, guidance=3.0)
    for _ in range(after):
        room.engine.step()
    room.engine.preempt("one")
    room.engine.step()
    with pytest.raises(Cancelled):
        future.result(0)
    room.engine.submit(dataclasses.replace(running.request, attempt=2))
    resumed = room.engine.find("one")
    room.run()
    assert (resumed.row.latent - alone).abs().max() <= 1e-9
    assert len(room.seen) == expected


@pytest.mark.parametrize("after", [1, HALF, HALF + 1])
def test_a_request_that_stands_still_for_others_goes_on_at_the_size_it_had(room: Room, after: int):
    alone = room.latent("one", seed=4)
    assert (room.held("one", after, seed=4) - alone).abs().max() <= 1e-9


def test_previews_have_the_size_that_the_latent_has_then(room: Room):
    seen: list[Image.Image] = []
    shares = {"previews": (1 / STEPS, 6 / STEPS), "on_preview": lambda _, image: seen.append(image)}
    future, _ = room.submit("one", seed=3, **shares)
    room.run()
    assert [image.size for image in seen] == [(32, 32), (64, 64)]
    assert future.result(0).image.size == (64, 64)
    assert future.result(0).steps_run == STEPS


def test_a_lora_acts_at_both_sizes(toys: Any, tmp_path: Any):
    file, ink = save_lora(toys.adapter("sd15", "euler"), tmp_path, 1), (LoraUse("ink", 0.8),)
    room = Room(with_subspace(with_loras(toys.family("sd15", "euler"), "random", ink=file), HALF))
    plain, alone = room.latent("plain", seed=3), room.latent("one", seed=3, loras=ink)
    assert (alone - plain).abs().max() > 1e-6
    _, running = room.submit("one", seed=3, loras=ink)
    room.submit("other", seed=4, loras=ink)
    room.submit("plain", seed=3)
    room.run()
    assert (running.row.latent - alone).abs().max() <= 1e-9


def test_a_step_at_half_the_size_is_no_measurement_of_the_models_steps(room: Room):
    observed = []
    room.engine.costs.observe_step = lambda curve, rows, seconds: observed.append(rows)
    room.latent("one")
    assert observed == [1] * (STEPS - HALF)


def test_a_row_is_moved_to_another_level_once_it_has_its_whole_size(toys: Any):
    family = family_of(toys, "unet")
    shorter = Level(id="fs-4", strategy="fs", model="large", steps=4)
    room = Room(family.model_copy(update={"levels": {**family.levels, "fs-4": shorter}}))
    future, _ = room.submit("one")
    room.engine.step()
    room.engine.allow("one", ("fs-4",))
    room.run()
    assert future.result(0).level_id == "fs-4"
    assert f"moved from sub to fs-4 with {STEPS - HALF - 1} steps left, 2 run instead" in future.result(0).reason
    assert (room.rows(whole=False), room.rows(whole=True)) == ([1] * HALF, [1] * 3)


def test_a_request_of_a_size_whose_half_the_family_has_not_runs_in_full_and_says_why(room: Room):
    future, running = room.submit("small", seed=3, width=32, height=32)
    room.run()
    assert future.result(0).reason == f"{room.family.id} has no size 16×16 to begin at: run in full"
    assert torch.equal(running.row.latent, room.latent("exact", "exact", seed=3, width=32, height=32))


def test_of_more_steps_as_many_more_are_at_half_the_size(room: Room):
    room.latent("long", steps=2 * STEPS)
    assert room.rows(whole=False) == [1] * 2 * HALF
    room.seen.clear()
    room.submit("short", steps=1)
    room.run()
    assert [shape[0] for shape in room.seen] == [1]


def test_a_model_whose_sampler_cannot_begin_small_is_refused_when_it_is_loaded(toys: Any):
    with pytest.raises(BadFamily, match=r"cannot\. Use EulerDiscreteScheduler") as refused:
        Room(with_subspace(toys.family("sd15", "dpm++")))
    assert refused.value.field == "models.random.scheduler"
