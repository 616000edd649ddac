"""The models a device holds: within the budget, and spare ones while nothing else is to do."""

from types import SimpleNamespace

import pytest

from tests.workers.pencil import pencil_family
from workers.engine.model_pool import SMALL, SPARE, ModelPool


def pool(budget_mb: float, sizes: dict[str, float]) -> ModelPool:
    family = pencil_family(len(sizes))
    by_id = dict(zip(family.models, sizes.values(), strict=True))
    adapter = lambda model: SimpleNamespace(memory_mb=by_id[model.id])  # noqa: E731
    return ModelPool(family, adapter, lambda model: by_id[model.id], budget_mb)


def test_small_models_are_spare_the_smallest_first_until_half_of_the_budget_is_full():
    held = pool(1000.0, {"a": 40.0, "b": 30.0})
    order = []
    while (model := held.spare()) is not None:
        order.append(model)
        held.load(model)
    assert [held.held()[name].memory_mb for name in order] == [30.0, 40.0]


@pytest.mark.parametrize("budget_mb", [0.0, 30.0 / SMALL - 1, 30.0 / SPARE - 1])
def test_nothing_is_spare_without_a_budget_or_where_it_would_take_too_much_of_it(budget_mb):
    assert pool(budget_mb, {"a": 30.0, "b": 50.0}).spare() is None


def test_a_model_that_waits_for_room_is_never_kept_out_by_spare_ones():
    held = pool(100.0, {"a": 4.0, "b": 98.0})
    small, large = held.family.models  # in the order of their sizes above
    held.load(held.spare())
    assert small in held.held()
    assert held.make_room(large)
    assert not held.held()


def test_a_model_without_a_level_is_never_spare_and_loads_when_asked_for_by_its_id():
    held = pool(1000.0, {"a": 30.0, "b": 40.0})
    large, small = held.family.models
    levels = {level.id: level for level in held.family.levels_of(large)}
    held.family = held.family.model_copy(update={"levels": levels})
    held.load(held.spare())
    assert held.spare() is None
    assert set(held.held()) == set(held.family.offered) == {large}
    assert held.load(small).memory_mb == 40.0
