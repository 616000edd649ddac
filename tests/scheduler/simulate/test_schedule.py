"""The schedule that a simulated run leaves for a trace."""

from __future__ import annotations

import numpy as np
import pytest

from core.chrome_trace import Schedule
from scheduler.simulate import Recorder, SimConfig, simulate, synthetic_quality, workload
from tests.scheduler.policies.small_cluster import SLO, profile
from tests.scheduler.simulate.small_runs import steady
from tests.scheduler.simulate.test_goals import several_models
from traces.reader import Trace

CONFIG = SimConfig("argus", {"a100": profile()}, {"a100": 8}, SLO, any_hit=True)


def recorded(config: SimConfig, **rest: object) -> tuple[Schedule, dict[str, object]]:
    recorder, work = Recorder(), steady(0.9, 60.0, **rest)  # type: ignore[arg-type]
    figures = simulate(config, work, recorder=recorder).figures
    return recorder.schedule(), figures


def test_every_request_that_was_served_has_a_slice_that_ends_when_it_did() -> None:
    schedule, figures = recorded(CONFIG)
    finished = [each for each in schedule.slices if each.args.get("finished")]
    assert len(finished) == figures["served"]
    assert sum(each.args["late"] for each in finished) == figures["violations"]
    assert all(each.end > each.start for each in finished)
    assert {each.worker for each in finished} == {f"worker {i}" for i in range(8)}
    assert [tick.at for tick in schedule.ticks[:3]] == [0.0, 10.0, 20.0]
    assert max(sum(counts.values()) for _, counts in schedule.waiting) > 0


def test_recording_changes_nothing() -> None:
    work = steady(0.9, 60.0)
    alone, watched = simulate(CONFIG, work), simulate(CONFIG, work, recorder=Recorder())
    assert alone.figures == watched.figures


def test_what_a_dead_worker_ran_is_not_finished_and_comes_again() -> None:
    config = SimConfig("argus", {"a100": profile()}, {"a100": 8}, SLO, any_hit=True, failures=((20.0, 0, 30.0),))
    schedule, _ = recorded(config)
    (lost,) = [
        each for each in schedule.slices if each.args.get("finished") is False and not each.args.get("background")
    ]
    assert lost.end == pytest.approx(20.0)
    again = [each for each in schedule.slices if each.args.get("request") == lost.args["request"]]
    assert len(again) == 2


def test_loads_of_models_are_slices() -> None:
    several = several_models()
    trace = Trace("rise", 60.0, np.array([0.0, 20.0]), np.array([20.0, 40.0]), np.array([10.0, 200.0]))
    work = workload(trace, synthetic_quality(several, 1), several.ids, 1)
    recorder = Recorder()
    ticks = simulate(SimConfig("sommelier", {"cpu": several}, {"cpu": 2}, 4.0), work, recorder=recorder).ticks
    loads = [each for each in recorder.schedule().slices if each.level is None]
    assert len(loads) == ticks["switches"] > 0
    assert loads[0].end - loads[0].start == pytest.approx(0.3)
