"""Rows of every strategy of a model in one engine, and levels made of several: each ends as alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from core.families import Family
from core.levels import Level
from tests.workers.toy_engine import ToyEngine
from tests.workers.toys import with_reuse, with_subspace
from workers.engine.engine import Engine
from workers.latent_cache.cache import LatentCache
from workers.latent_cache.exact_index import ExactIndex
from workers.latent_cache.store import FolderStore

STEPS, SKIP, HALF = 7, 2, 3
EVERY = ("exact", "ac", "cq", "fs", "sub", "ac+cq", "ac+sub", "sub+fs")


@pytest.fixture(scope="module")
def family(toys: Any, tmp_path_factory: pytest.TempPathFactory) -> Family:
    """SD 1.5 at toy width with a level of each strategy, and those made of them as a family file makes them."""
    made = with_subspace(with_reuse(toys.family("sd15", "euler"), tmp_path_factory.mktemp("reuse")), HALF, STEPS)
    alone = {
        **{name: made.levels[name] for name in ("exact", "cq", "sub")},
        "ac": Level(id="ac", strategy="ac", model="random", skip=SKIP),
        "fs": Level(id="fs", strategy="fs", model="random", steps=5),
    }
    entries: dict[str, Any] = {name: level.model_dump(exclude_defaults=True) for name, level in alone.items()}
    joined = {name: {"id": name, "by_name": True} for name in EVERY if name not in alone}
    return Family.model_validate({**made.model_dump(), "levels": {**entries, **joined}})


class Room(ToyEngine):
    """Such an engine with a cache that knows one prompt, and the rows of each forward."""

    def __init__(self, family: Family, folder: Path) -> None:
        super().__init__(family, steps=STEPS, guidance=1.0)
        cache = LatentCache(ExactIndex(), FolderStore(folder), embed=lambda prompt: torch.ones(384).numpy() / 384**0.5)
        self.engine = Engine(family, dtype=torch.float64, cache=cache, threaded=False)
        self.adapter = self.engine.load("random").adapter
        self.latent("filling", "exact", seed=99)
        self.forwards = 0

    def counted(self) -> int:
        """Forwards, whole and shallow, since the last call."""
        now = self.adapter.forwards + self.adapter.shallow_forwards
        since, self.forwards = now - self.forwards, now
        return since


@pytest.fixture
def room(family: Family, tmp_path: Path) -> Room:
    return Room(family, tmp_path)


def test_one_batch_holds_rows_of_all_strategies_and_each_ends_as_alone_for_fewer_forwards(room: Room):
    alone = {}
    room.counted()
    for seed, level in enumerate(EVERY):
        alone[level] = room.latent(f"{level} alone", level, seed=seed)
    apart = room.counted()
    running = {level: room.submit(level, level, seed=seed)[1] for seed, level in enumerate(EVERY)}
    room.run()
    for level, latent in alone.items():
        assert (running[level].row.latent - latent).abs().max() <= 1e-9, level
    assert room.counted() < apart / 2


@pytest.mark.parametrize("level", ["ac+cq", "ac+sub"])
def test_a_level_that_looks_up_begins_at_the_cached_step_and_goes_on_as_its_other_part_says(room: Room, level: str):
    future, running = room.submit("one", level, seed=4)
    begins_small = running.row.half is not None
    room.run()
    done = future.result(0)
    assert (done.level_id, done.steps_skipped, done.steps_run) == (level, SKIP, STEPS - SKIP)
    assert begins_small == (level == "ac+sub")
    assert running.row.half is None
    assert (room.adapter.shallow_forwards > 0) == (level == "ac+cq")


def test_what_starts_from_the_cache_after_its_last_small_step_is_never_small(family: Family, tmp_path: Path):
    deep = family.levels["ac+sub"].model_copy(update={"half_steps": SKIP})
    room = Room(family.model_copy(update={"levels": {**family.levels, "ac+sub": deep}}), tmp_path)
    assert torch.equal(room.latent("one", "ac+sub", seed=4), room.latent("two", "ac", seed=4))


def test_without_a_latent_in_the_cache_the_other_part_is_all_there_is(family: Family):
    room = ToyEngine(family, steps=STEPS, guidance=1.0)
    for both, other in (("ac+cq", "cq"), ("ac+sub", "sub")):
        assert torch.equal(room.latent("one", both, seed=4), room.latent("two", other, seed=4))


def test_a_shorter_schedule_begins_small_for_the_same_share_of_its_steps(room: Room):
    future, _ = room.submit("one", "sub+fs", seed=4)
    room.run()
    assert future.result(0).steps_run == 5
    assert room.family.level("sub+fs").small_steps(5, STEPS) == 2
