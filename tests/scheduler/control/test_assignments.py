"""Carrying out a plan with the fewest moves."""

from collections.abc import Mapping

from core.families import load_family
from scheduler.control.assignments import NewAssignment, new_assignments
from scheduler.control.decide import WorkerState, assign_models
from scheduler.observation.queries import LiveWorker

FAMILY = load_family("embedded")


def worker(name: str, *models: str, device_type: str = "cpu") -> LiveWorker:
    return LiveWorker(name, device_type, models, tuple(FAMILY.queues_of(list(models))))


def carried_out(
    workers: list[LiveWorker], plan: Mapping[str, Mapping[str, int]], **rest: object
) -> list[NewAssignment]:
    """What workers are told when the plan says so."""
    states = [WorkerState(w.name, w.device_type, w.models[0]) for w in workers]
    planned = {name: (model,) for name, model in assign_models(states, plan).items()}
    return new_assignments(FAMILY, workers, planned, **rest)  # type: ignore[arg-type]


def test_a_plan_that_is_already_so_moves_nobody():
    workers = [worker("a", "large"), worker("b", "turbo")]
    assert carried_out(workers, {"cpu": {"large": 1, "turbo": 1}}) == []


def test_one_worker_too_few_moves_one_worker_and_says_why():
    workers = [worker("a", "large"), worker("b", "large")]
    (change,) = carried_out(workers, {"cpu": {"large": 1, "medium": 1}})
    assert change.models == ("medium",)
    assert change.queues == ("t2i.embedded.sm-medium-1",)
    assert "medium" in change.reason


def test_device_types_do_not_stand_in_for_each_other():
    workers = [worker("a", "large"), worker("b", "large", device_type="h200")]
    (change,) = carried_out(workers, {"cpu": {"medium": 1}, "h200": {"large": 1}})
    assert change.worker == "a"


def test_a_level_somebody_waits_for_is_added_beside_what_is_planned():
    workers = [worker("a", "large"), worker("b", "turbo")]
    (change,) = carried_out(workers, {"cpu": {"large": 1, "turbo": 1}}, waited_for=["sm-medium-1"])
    assert change.models == ("large", "medium")
    assert set(change.queues) == {*FAMILY.queues_of(["large"]), "t2i.embedded.sm-medium-1"}


def test_a_worker_within_its_dwell_time_gives_nothing_up():
    workers = [worker("a", "large", "medium")]
    assert carried_out(workers, {"cpu": {"large": 1}}, dwelling={"a"}) == []
    (change,) = carried_out(workers, {"cpu": {"large": 1}})
    assert change.models == ("large",)


def test_one_level_a_worker_serves_just_that_level():
    (change,) = carried_out([worker("a", "large")], {"cpu": {"ac-3": 1}})
    assert (change.models, change.queues) == (("large",), ("t2i.embedded.ac-3",))


def test_without_a_plan_everybody_stays():
    assert carried_out([worker("a", "large")], {}) == []


def test_a_worker_with_memory_for_several_models_holds_and_serves_them_all():
    (change,) = new_assignments(FAMILY, [worker("a", "large")], {"a": ("large", "turbo")})
    assert change.models == ("large", "turbo")
    assert set(change.queues) == set(FAMILY.queues_of(["large", "turbo"]))
