"""The loop may prepare a step while the device works on the one before: nothing but the time of finding out changes."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import NotANumber


def picture(future):
    return np.asarray(future.result(0).image)


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_requests_that_come_and_go_end_as_ever(bench, ahead):
    b, plain = bench(steps_ahead=ahead), bench()
    for one in (b, plain):
        one.futures = [one.submit("fox", seed=1, steps=6)]
        one.engine.step()
        one.engine.step()
        one.futures += [one.submit("owl", seed=2, steps=3), one.submit("a bear", seed=3, steps=9)]
        one.run()
    for ours, theirs in zip(b.futures, plain.futures, strict=True):
        assert (picture(ours) == picture(theirs)).all()
    assert b.engine.stats()["steps"] == plain.engine.stats()["steps"]
    assert b.engine.stats()["step_s"]["large"].keys() == plain.engine.stats()["step_s"]["large"].keys()


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_a_row_that_goes_nan_fails_alone_however_late_that_is_seen(bench, steps):
    b = bench(steps_ahead=1)
    b.adapters["large"].poison = "poison"
    bad, good = b.submit("poison", steps=steps), b.submit("owl", seed=5, steps=9)
    b.run()
    with pytest.raises(NotANumber):
        bad.result(0)
    alone = b.submit("owl", seed=5, steps=9)
    b.run()
    assert (picture(good) == picture(alone)).all()


def test_a_row_that_goes_nan_leaves_before_its_last_step(bench):
    b = bench(steps_ahead=1)
    b.adapters["large"].poison = "poison"
    b.submit("poison", steps=50)
    assert b.run() < 5
