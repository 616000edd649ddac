"""Carrying out a plan with the fewest moves."""

from core.families import load_family
from scheduler.control.remap import Seat, changes, seatings
from scheduler.observation.queries import LiveWorker

FAMILY = load_family("embedded")


def worker(name: str, *models: str, device_type: str = "cpu") -> LiveWorker:
    return LiveWorker(name, device_type, models, tuple(FAMILY.queues_of(list(models))))


def first_model(worker: LiveWorker) -> str | None:
    return worker.models[0] if worker.models else None


def test_workers_that_hold_what_is_wanted_stay():
    seats = [Seat("a", "cpu", "large"), Seat("b", "cpu", "small"), Seat("c", "cpu", "small")]
    assert seatings(seats, {"cpu": {"small": 1, "large": 2}}) == {"a": "large", "b": "small", "c": "large"}


def test_a_plan_that_is_already_so_moves_nobody():
    workers = [worker("a", "large"), worker("b", "small")]
    assert changes(FAMILY, workers, first_model, {"cpu": {"large": 1, "small": 1}}) == []


def test_one_worker_too_few_moves_one_worker_and_says_why():
    workers = [worker("a", "large"), worker("b", "large")]
    (change,) = changes(FAMILY, workers, first_model, {"cpu": {"large": 1, "medium": 1}})
    assert change.models == ("medium",)
    assert change.queues == ("t2i.embedded.sm-medium",)
    assert "medium" in change.reason


def test_device_types_do_not_stand_in_for_each_other():
    workers = [worker("a", "large"), worker("b", "large", device_type="h200")]
    (change,) = changes(FAMILY, workers, first_model, {"cpu": {"medium": 1}, "h200": {"large": 1}})
    assert change.worker == "a"


def test_a_level_somebody_waits_for_is_added_beside_what_is_planned():
    workers = [worker("a", "large"), worker("b", "small")]
    plan = {"cpu": {"large": 1, "small": 1}}
    (change,) = changes(FAMILY, workers, first_model, plan, needed=["sm-medium"])
    assert change.models == ("large", "medium")
    assert set(change.queues) == {*FAMILY.queues_of(["large"]), "t2i.embedded.sm-medium"}


def test_a_worker_within_its_dwell_time_gives_nothing_up():
    workers = [worker("a", "large", "medium")]
    assert changes(FAMILY, workers, first_model, {"cpu": {"large": 1}}, steady={"a"}) == []
    (change,) = changes(FAMILY, workers, first_model, {"cpu": {"large": 1}})
    assert change.models == ("large",)


def test_one_level_a_worker_serves_just_that_level():
    workers = [worker("a", "large")]
    (change,) = changes(FAMILY, workers, lambda _: None, {"cpu": {"fs-2": 1}})
    assert (change.models, change.queues) == (("large",), ("t2i.embedded.fs-2",))


def test_without_a_plan_everybody_stays():
    assert changes(FAMILY, [worker("a", "large")], first_model, {}) == []
