"""The simulator against queues that can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.errors import BadInput
from core.profiles import parse_profile
from scheduler.policies import NAMES, Admission, Cluster, Epoch, Observation
from scheduler.policies.argus import Argus
from scheduler.policies.clipper_ha import ClipperHA
from scheduler.simulate import SimConfig, simulate
from tests.scheduler.policies.small_cluster import SLO, profile
from tests.scheduler.simulate.small_runs import at, run, steady


def test_one_worker_serves_first_come_first_served_as_worked_out_by_hand() -> None:
    figures = run("clipper-ha", at([0.0, 1.0, 2.0, 40.0]), workers=1).figures
    # 0→4.2, 1→8.4 (7.4), 2→12.6 (10.6), 40→44.2
    assert figures["served"] == 4
    assert figures["violations"] == 0
    assert figures["latency_p50_s"] == pytest.approx((4.2 + 7.4) / 2)
    assert figures["levels"]["exact"] == 1


def test_what_finishes_after_the_target_is_a_violation() -> None:
    figures = run("clipper-ha", at([0.0, 0.0, 0.0, 0.0]), workers=1).figures
    assert figures["violations"] == 1  # 16.8 s > 12.6 s
    assert figures["violation_rate"] == pytest.approx(0.25)
    assert figures["goodput_per_minute"] == pytest.approx(3.0)


def test_rows_that_share_a_worker_go_at_the_speed_of_its_batch() -> None:
    batch = [{"size": 1, "step_s": 1.0}, {"size": 2, "step_s": 1.25}]
    level = {"id": "exact", "requests_per_minute": 60 * 1.6 / 4, "latency_s": 4.0, "batch": batch}
    device = parse_profile({"family": "f", "device": "cpu", "levels": [level]})
    work = replace(at([0.0, 2.0]), truth=np.ones((1, 1)), predicted=np.ones((1, 1)))
    figures = simulate(SimConfig("clipper-ha", {"cpu": device}, {"cpu": 1}, 20.0), work).figures
    # alone until 2 (2 s of work left), then both at 0.8: first at 2 + 2/.8 = 4.5, second has 2 s left: 6.5
    assert figures["latency_p50_s"] == pytest.approx((4.5 + 4.5) / 2)


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = (run("argus", steady(0.9, 120.0)) for _ in range(2))
    assert first.figures == second.figures
    assert first.timeline == second.timeline


@pytest.mark.parametrize("policy", ["argus", "pac", "diffserve", "nirvana"])
def test_every_request_has_one_outcome(policy: str) -> None:
    work = steady(0.7, 120.0)
    report = run(policy, work)
    assert report.figures["requests"] == len(work.times)
    assert report.figures["served"] == len(work.times)
    assert sum(report.figures["levels"].values()) == pytest.approx(1)
    assert sum(report.timeline["demand"]) == len(work.times)


def test_demand_seen_before_the_run_is_known_at_its_first_second() -> None:
    rates: list[float] = []

    class Listening(Argus):
        def arrival_rate(self, state):
            rates.append(state.rate)
            return super().arrival_rate(state)

    work = steady(0.9, 20.0)
    config = SimConfig("argus", {"a100": profile()}, {"a100": 8}, SLO, history=(3,) * 900)
    simulate(config, work, Listening(Cluster(config.profiles, SLO)))
    assert rates[0] == pytest.approx(3.0, rel=0.01)


def test_a_worker_that_dies_loses_no_request_and_comes_back() -> None:
    work = steady(0.5, 240.0)
    report = run("argus", work, failures=((60.0, 0, 60.0), (61.0, 3, 30.0)), stale_s=SLO)
    assert report.figures["served"] == len(work.times)
    assert report.figures["violations"] > 0  # what they ran is only missed when it is stale


def test_changing_models_takes_the_time_to_load_them() -> None:
    heavy = profile(exact="big", ac_10="big", ac_25="small").model_dump()
    for level in heavy["levels"]:
        level["load_s"] = 20.0

    class Switching(ClipperHA):
        """`exact` in its first epoch, `ac-25` ever after."""

        def level(self) -> str:
            return "ac-25" if self.epochs else "exact"

        def plan(self, observed: Observation) -> Epoch:
            model = self.cluster.holds(self.level())
            epoch = super().plan(observed)
            return replace(epoch, plan=replace(epoch.plan, workers={"a100": {model: 1}}))

    config = SimConfig("clipper-ha", {"a100": parse_profile(heavy)}, {"a100": 1}, SLO)
    report = simulate(config, at([11.0]), Switching(Cluster(config.profiles, SLO)))
    # the tick at 10 has the worker load `small` until 30; then 2.1 s
    assert report.figures["latency_p50_s"] == pytest.approx(30 + 2.1 - 11)
    assert report.ticks["switches"] == 1


@pytest.mark.parametrize("name", [name for name in NAMES if name != "oracle"])
def test_a_level_that_one_type_of_device_cannot_run_costs_no_request(name: str) -> None:
    small = profile().model_dump()
    small["device"], small["levels"] = "l4", [level for level in small["levels"] if level["id"] != "ac-25"]
    profiles = {"a100": profile(), "l4": parse_profile(small)}
    work = steady(0.4, 120.0)
    report = simulate(SimConfig(name, profiles, {"a100": 4, "l4": 4}, SLO), work)
    assert report.figures["served"] == len(work.times)
    if name in ("argus", "pac", "clipper-ht"):
        assert report.figures["violation_rate"] < 0.01


@pytest.mark.parametrize(
    ("change", "field"), [({"workers": {}}, "workers"), ({"slo_s": 0.0}, "slo"), ({"tick_s": -1}, "tick")]
)
def test_a_run_that_makes_no_sense_is_refused(change: dict, field: str) -> None:
    config = SimConfig("argus", {"a100": profile()}, {"a100": 8}, SLO)
    with pytest.raises(BadInput) as caught:
        replace(config, **change)
    assert caught.value.field == field


def test_a_paused_request_goes_on_from_where_it_was() -> None:
    class Impatient(ClipperHA):
        """Whoever comes last starts at once."""

        pauses = True

        def gives_way(self, waiting, running, state):
            return 0 if state.now == 1.0 else None

        def admit(self, worker, waiting, epoch, state):
            return Admission(len(waiting) - 1 if state.now < 5.0 else 0, "exact")

    config = SimConfig("clipper-ha", {"a100": profile()}, {"a100": 1}, SLO)
    report = simulate(config, at([0.0, 1.0]), Impatient(Cluster(config.profiles, SLO)))
    # the second from 1 to 5.2, the first until 1 and from 5.2 to 8.4
    assert report.ticks["pauses"] == 1
    assert report.figures["latency_p50_s"] == pytest.approx((4.2 + 8.4) / 2)


def test_workers_hold_at_first_what_the_time_before_asks_for_and_not_what_comes() -> None:
    class Calm(Argus):
        def plan(self, observed: Observation) -> Epoch:
            rates.append(observed.rate)
            return super().plan(observed)

    rates: list[float] = []
    config = SimConfig("argus", {"a100": profile()}, {"a100": 8}, SLO, history=(0,) * 60 + (1,) * 60)
    simulate(config, steady(0.9, 20.0), Calm(Cluster(config.profiles, SLO)))
    assert rates[0] == pytest.approx(1.0, rel=0.05)
