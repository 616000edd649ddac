"""The loop: who shares a forward, who goes first, what takes effect when."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.errors import BadFamily, Cancelled, OutOfMemory
from core.families import load_family
from core.step_curve import StepCurve
from tests.workers.pencil import MODEL_MB


class Constant(StepCurve):
    """A profile that stays as it is, whatever is measured."""

    def observe(self, rows, seconds):
        return self


def picture(future):
    return np.asarray(future.result(0).image)


def test_staggered_requests_take_as_many_forwards_as_the_longest_chain_demands(bench):
    b = bench()
    joins = {0: 20, 3: 12, 5: 30, 9: 8}
    futures = []
    for turn in range(35):
        if turn in joins:
            futures.append(b.submit(steps=joins[turn]))
        assert b.engine.step()
    assert not b.engine.step()
    assert b.adapters["large"].forwards == 35
    assert [future.result(0).steps_run for future in futures] == [20, 12, 30, 8]


def test_a_newcomer_waits_at_most_one_step(bench):
    b = bench()
    b.submit(steps=20)
    b.engine.step()
    late = b.submit(steps=1)
    b.engine.step()
    assert late.result(0).steps_run == 1


def test_one_forward_carries_rows_of_different_steps_guidance_level_and_seed(bench):
    b = bench()
    alone = []
    requests = [
        b.request("fox", steps=20, guidance=2.0),
        b.request("a bear", steps=7, guidance=1.0),
        b.request("owl", level="fs-4", guidance=9.0),
    ]
    for request in requests:
        alone.append(b.engine.submit(request))
        b.run()
    before = b.adapters["large"].forwards
    together = [b.engine.submit(request) for request in requests]
    b.run()
    assert b.adapters["large"].forwards - before == 20
    for one, other in zip(alone, together, strict=True):
        assert (picture(one) == picture(other)).all()
    assert [future.result(0).batch_max for future in together] == [3, 3, 3]


def test_no_more_rows_than_the_batch_limit_run_at_once(bench):
    b = bench(max_batch=2)
    futures = [b.submit(steps=3) for _ in range(5)]
    b.run()
    assert max(future.result(0).batch_max for future in futures) == 2
    assert b.adapters["large"].forwards == 9


def test_places_go_to_the_earliest_deadline_and_the_late_go_last(bench):
    b = bench(max_batch=1)
    now = time.time()
    late = b.submit(steps=1, deadline=now - 5)
    far = b.submit(steps=1, deadline=now + 900)
    near = b.submit(steps=1, deadline=now + 100)
    b.run()
    started = [future.result(0).times.started for future in (near, far, late)]
    assert started == sorted(started)


def test_a_batch_grows_only_while_those_in_flight_still_meet_their_deadlines(bench):
    b = bench(curves={"large": StepCurve.of({1: 1.0, 2: 10.0})})
    tight = b.submit(steps=20, deadline=time.time() + 60)
    b.engine.step()
    other = b.submit(steps=20)
    b.engine.step()
    assert b.engine.stats()["running"] == 1
    b.run()
    assert tight.result(0).times.started < other.result(0).times.started


def test_cancelling_takes_effect_at_the_next_step_and_leaves_the_neighbours_alone(bench):
    b = bench()
    alone = b.submit("owl", seed=5)
    b.run()
    gone, stays = b.submit("fox"), b.submit("owl", seed=5)
    b.engine.step()
    assert b.engine.cancel("r1")
    b.run()
    with pytest.raises(Cancelled):
        gone.result(0)
    assert (picture(stays) == picture(alone)).all()
    assert stays.result(0).batch_mean == pytest.approx((2 + 19) / 20)
    assert not b.engine.cancel("nobody")


@pytest.mark.parametrize(("allowed", "level"), [(("exact", "fs-4", "fs-10"), "fs-10"), ((), "exact")])
def test_a_request_that_would_miss_its_deadline_moves_to_the_mildest_level_it_may(bench, allowed, level):
    b = bench(curves={"large": Constant((1,), (1.0,))})
    future = b.submit(steps=20, deadline=time.time() + 14, allowed_levels=allowed)
    b.engine.step()
    b.run()
    assert future.result(0).level_id == level
    assert (future.result(0).steps_run < 20) == bool(allowed)


def test_a_request_whose_level_is_no_longer_allowed_moves_while_one_that_keeps_its_level_stays(bench):
    b = bench()
    moves, stays = b.submit(steps=20), b.submit(steps=20)
    for _ in range(5):
        b.engine.step()
    assert b.engine.allow("r0", ("fs-10", "fs-4"))
    assert b.engine.allow("r1", ("exact", "fs-4"))
    b.run()
    assert moves.result(0).level_id == "fs-10"
    assert "moved from exact to fs-10 with 15 steps left" in moves.result(0).reason
    assert (stays.result(0).level_id, stays.result(0).steps_run) == ("exact", 20)
    assert not b.engine.allow("r0", ("exact",))


def test_the_same_request_is_not_run_twice(bench):
    b = bench()
    request = b.request(steps=2)
    assert b.engine.submit(request) is b.engine.submit(request)
    b.run()
    assert b.engine.stats()["done"] == 1


def test_models_take_turns_so_that_neither_waits_for_the_other_to_finish(bench):
    b = bench(models=2)
    b.engine.load("small")
    futures = [b.submit(steps=6), b.submit(level="sm-small", steps=6)]
    for _ in range(6):
        b.engine.step()
    assert b.adapters["large"].forwards == b.adapters["small"].forwards == 3
    b.run()
    assert [future.result(0).model_id for future in futures] == ["large", "small"]


def test_a_model_is_loaded_when_first_asked_for_and_its_load_is_measured(bench):
    b = bench(models=2)
    assert b.engine.loaded() == ["large"]
    future = b.submit(level="sm-small", steps=2)
    b.run()
    assert future.result(0).model_id == "small"
    assert set(b.engine.stats()["models"]) == {"large", "small"}
    assert b.engine.stats()["models"]["small"]["load_s"] > 0


def test_the_least_recently_used_model_leaves_when_memory_is_short(bench):
    b = bench(models=3, memory_budget_mb=2.5 * MODEL_MB)
    for level in ("sm-small", "exact", "sm-tiny"):
        b.submit(level=level, steps=1)
        b.run()
    assert b.engine.loaded() == ["tiny", "large"]


def test_a_model_in_use_is_not_dropped_but_lets_nobody_new_in(bench):
    b = bench(models=2, memory_budget_mb=1.5 * MODEL_MB)
    first = b.submit(steps=5)
    b.engine.step()
    other = b.submit(level="sm-small", steps=2)
    b.engine.step()
    again = b.submit(steps=1)
    b.run()
    finished = [future.result(0).times.denoised for future in (first, other, again)]
    assert finished == sorted(finished)
    assert b.engine.stats()["loads"] == {"large": 2, "small": 1}


def test_a_model_larger_than_the_budget_is_refused_with_a_code(bench):
    b = bench(models=2, memory_budget_mb=0.01, expected_mb=lambda model: 5.0 if model.id == "small" else 0.0)
    future = b.submit(level="sm-small")
    b.run()
    with pytest.raises(OutOfMemory, match="budget"):
        future.result(0)


def test_a_strategy_that_does_not_exist_is_refused_when_the_family_file_is_read(tmp_path):
    from core.families import FAMILIES

    path = tmp_path / "flux.toml"
    path.write_text((FAMILIES / "flux.toml").read_text() + '\n[levels.luck-2]\nmodel = "dev"\nstrategy = "luck"\n')
    with pytest.raises(BadFamily, match=r"levels\.luck-2\.strategy"):
        load_family(str(path))


def test_the_threaded_engine_finishes_what_many_threads_ask_for(bench):
    b = bench(threaded=True)
    b.engine.start()
    requests = [b.request(steps=1 + n % 7) for n in range(40)]
    with ThreadPoolExecutor(8) as slots:
        outcomes = list(slots.map(lambda request: b.engine.submit(request).result(30), requests))
    b.engine.stop()
    assert [outcome.steps_run for outcome in outcomes] == [request.steps for request in requests]
    for outcome in outcomes:
        t = outcome.times
        assert t.admitted <= t.encoded <= t.started <= t.denoised <= t.decoded


def test_a_step_takes_what_its_own_forward_does_whatever_runs_between(bench, monkeypatch):
    b = bench(models=2)
    b.engine.load("small")
    forward = b.adapters["small"].forward
    monkeypatch.setattr(b.adapters["small"], "forward", lambda *rows: (time.sleep(0.05), forward(*rows))[1])
    large, small = b.submit(steps=4), b.submit(level="sm-small", steps=4)
    b.run()
    quick, slow = large.result(0), small.result(0)
    assert slow.step_s >= 0.05 > slow.work_s  # asleep it does nothing
    assert slow.share_s == pytest.approx(4 * slow.work_s)
    between = quick.times.denoised - quick.times.started - quick.steps_run * quick.step_s
    assert between >= 2 * 0.05  # it stood while the other's forwards ran


def test_rows_that_take_a_forward_each_have_the_time_of_one(bench, monkeypatch):
    b = bench()
    b.adapters["large"].most_rows = 2  # with guidance, of one request
    for _ in range(2):
        b.submit(steps=3)
    b.run()  # it has learned by now that memory suffices for one
    forward = b.adapters["large"].forward
    monkeypatch.setattr(b.adapters["large"], "forward", lambda *rows: (time.sleep(0.2), forward(*rows))[1])
    futures = [b.submit(steps=2) for _ in range(3)]
    b.run()
    assert all(0.2 <= future.result(0).step_s < 0.4 for future in futures)  # of 0.6 that a step of three takes


def test_stopping_fails_what_is_still_open_with_a_reason(bench):
    b = bench()
    future = b.submit()
    b.engine.step()
    b.engine.stop()
    with pytest.raises(Exception, match="stopped"):
        future.result(0)
    with pytest.raises(Exception, match="stopping"):
        b.submit().result(0)
