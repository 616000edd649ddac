"""Workers that draw one image together on the virtual clock, worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from core.chrome_trace import Slice
from core.parallel_profiles import ModeProfile
from core.profiles import Profile, parse_profile
from scheduler.simulate import GangSetting, Recorder, Report, SimConfig, Workload, simulate
from tests.scheduler.simulate.small_runs import at as small_at

STEPS, SERIAL_S, ALONE_S = 20, 0.1, 2.5  # half a second beside the steps


def flux(**level: Any) -> Profile:
    exact = {"id": "exact", "model": "m", "steps": STEPS, "latency_s": ALONE_S, "requests_per_minute": 60 / ALONE_S}
    return parse_profile({"family": "f", "device": "gpu", "levels": [{**exact, **level}]})


def mode(name: str = "ulysses", ranks: int = 2, step_s: float = 0.06, meet_s: float = 0.1) -> ModeProfile:
    return ModeProfile(model="m", mode=name, ranks=ranks, step_s=step_s, serial_s=SERIAL_S, meet_s=meet_s)


TWO, FOUR = mode(), mode(ranks=4, step_s=0.03)
OF_TWO_S = ALONE_S - STEPS * 0.04 + 0.1
OF_FOUR_S = ALONE_S - STEPS * 0.07 + 0.1


def at(times: Sequence[float], batch: Sequence[bool] = ()) -> Workload:
    one = np.ones((1, 1))
    work = replace(small_at(list(times)), truth=one, predicted=one)
    return replace(work, batch=np.array(batch)) if len(batch) else work


def run(
    work: Workload,
    modes: Sequence[ModeProfile] = (TWO, FOUR),
    workers: int = 4,
    asked: str = "auto",
    host: int = 8,
    **rest: Any,
) -> tuple[Report, list[Slice]]:
    """The report, and the slices of the workers in order of their beginning."""
    setting = GangSetting({"gpu": tuple(modes)}, asked, host)
    config = SimConfig("clipper-ha", {"gpu": rest.pop("profile", flux())}, {"gpu": workers}, 60.0, gangs=setting)
    recorder = Recorder()
    report = simulate(replace(config, **rest), work, recorder=recorder)
    return report, sorted(recorder.schedule().slices, key=lambda each: (each.start, each.worker))


def took(slices: Sequence[Slice]) -> list[float]:
    """Seconds of each image on its leader, in order of their beginning."""
    return [pytest.approx(each.end - each.start) for each in slices if "led_by" not in each.args]


def test_idle_workers_draw_one_image_together_by_the_mode_that_saves_most():
    report, slices = run(at([1.0]))
    assert report.figures["latency_p95_s"] == pytest.approx(OF_FOUR_S)
    assert report.gangs["modes"] == {"ulysses, 4 ranks": 1}
    assert report.gangs["requests"] == 1
    assert [(each.worker, each.start, each.end) for each in slices] == [
        (f"worker {i}", 1.0, pytest.approx(1.0 + OF_FOUR_S)) for i in range(4)
    ]
    assert [each.args.get("led_by") for each in slices] == [None, "worker 0", "worker 0", "worker 0"]
    assert all((each.args["parallel"], each.args["ranks"]) == ("ulysses", 4) for each in slices)


def test_with_fewer_idle_workers_fewer_join():
    report, _ = run(at([1.0]), workers=3)
    assert report.figures["latency_p95_s"] == pytest.approx(OF_TWO_S)


def test_members_begin_nothing_until_the_image_has_been_drawn():
    _, slices = run(at([1.0, 1.5]))
    leaders = [each for each in slices if "led_by" not in each.args]
    assert leaders[1].start == pytest.approx(1.0 + OF_FOUR_S)  # all four were busy


def test_what_comes_meanwhile_goes_to_those_who_did_not_join():
    _, slices = run(at([1.0, 1.5]), modes=[TWO])
    leaders = [each for each in slices if "led_by" not in each.args]
    assert [(each.worker, each.start) for each in leaders] == [("worker 0", 1.0), ("worker 2", 1.5)]


def test_no_gang_forms_while_somebody_waits():
    report, slices = run(at([1.0, 1.1, 1.2]), asked="ulysses")  # whatever the load
    # the gang of the first ends, and finds two: the first of them is drawn alone, the last with those that are left
    assert took(slices) == [OF_FOUR_S, ALONE_S, OF_TWO_S]
    assert report.gangs["requests"] == 2


def test_batch_work_is_drawn_alone_and_gangs_let_it_go_first():
    report, slices = run(at([1.0], batch=[True]))
    assert report.gangs["requests"] == 0
    assert took(slices) == [ALONE_S]


def test_a_load_that_gangs_would_fill_is_drawn_in_serial_steps():
    rate = 0.9 * 4 / ALONE_S  # gangs take 1.2 times the workers' time
    report, _ = run(at(np.arange(1 / rate, 55, 1 / rate).tolist()), history=(1, 2) * 450)
    assert report.gangs["requests"] == 0
    assert run(at([1.0]), history=(0,) * 890 + (2,) * 10)[0].gangs["requests"] == 0  # it has just been busy
    assert run(at([1.0]), history=(0, 0, 0, 1) * 225)[0].gangs["requests"] == 1


def test_workers_of_other_hosts_do_not_join():
    assert run(at([1.0]), host=1)[0].gangs["requests"] == 0
    assert run(at([1.0]), host=2)[0].gangs["modes"] == {"ulysses, 2 ranks": 1}


def test_auto_keeps_the_image_and_a_mode_that_is_named_may_change_it():
    modes = [mode("distrifusion", 4, 0.03)]
    assert run(at([1.0]), modes)[0].gangs["requests"] == 0
    assert run(at([1.0]), modes, asked="off")[0].gangs["requests"] == 0
    report, _ = run(at([1.0]), modes, asked="distrifusion")
    assert report.gangs["modes"] == {"distrifusion, 4 ranks": 1}
    assert run(at([1.0]), modes, workers=3, asked="distrifusion")[0].gangs["requests"] == 0  # of two nothing is known


def test_a_level_that_begins_from_a_cached_latent_is_drawn_alone():
    assert run(at([1.0]), profile=flux(strategy="ac"))[0].gangs["requests"] == 0


def test_a_spread_of_service_times_is_that_of_the_steps_and_not_of_meeting():
    work = replace(at([1.0]), paces=np.array([2.0]))
    assert run(work)[0].figures["latency_p95_s"] == pytest.approx(2 * (OF_FOUR_S - 0.1) + 0.1)


def test_where_a_member_dies_the_leader_goes_on_in_serial_steps():
    half = 1.0 + OF_FOUR_S / 2
    report, slices = run(at([1.0]), failures=((half, 2, 50.0),))
    assert report.gangs["broken"] == 1
    assert took(slices) == [OF_FOUR_S / 2 + ALONE_S / 2]
    assert [each.end for each in slices if "led_by" in each.args] == [pytest.approx(half)] * 3


def test_where_the_leader_dies_its_members_are_free_and_the_request_is_drawn_again():
    half = 1.0 + OF_FOUR_S / 2
    report, slices = run(at([1.0, 30.0]), asked="ulysses", failures=((half, 0, 50.0),), stale_s=10.0)
    assert report.figures["served"] == 2
    assert report.gangs["modes"] == {"ulysses, 2 ranks": 2, "ulysses, 4 ranks": 1}
    again = [each for each in slices if each.args["request"] == 0 and "led_by" not in each.args][1]
    assert (again.worker, again.end) == ("worker 1", pytest.approx(half + 10.0 + OF_TWO_S))


@pytest.mark.parametrize("failures", [(), ((60.0, 0, 20.0),)])
def test_without_modes_results_are_those_of_before(failures: tuple):
    work = at(np.linspace(0.0, 55.0, 60).tolist())
    alone = SimConfig("argus", {"gpu": flux()}, {"gpu": 4}, 60.0, failures=failures)
    first = simulate(alone, work)
    second = simulate(replace(alone, gangs=GangSetting({})), work)
    assert "gangs" not in first.to_json()
    assert first.figures == second.figures
    assert first.timeline == second.timeline
