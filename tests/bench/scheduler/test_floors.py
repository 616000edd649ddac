"""Shares of floors kept, and what offsets leave of a bias, on prompts made by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from bench.scheduler.calibration import left_over, within
from bench.scheduler.floors import kept
from bench.scheduler.held_out import HeldOut


def one_level(mean: list[float], measured: list[float], std: float = 0.02) -> HeldOut:
    columns = [np.array(values)[:, None] for values in (mean, [std] * len(mean), measured)]
    return HeldOut(cast(Any, SimpleNamespace()), np.zeros((len(mean), 1)), ("fs-turbo-1",), *columns)


def test_of_the_lowered_those_whose_image_reached_the_floor_count():
    held = one_level(mean=[0.99, 0.96, 0.94], measured=[0.96, 0.94, 0.99])
    found = kept(held, 0.95, 0.0)
    assert (found["lowered"], found["kept"]) == (pytest.approx(2 / 3), 0.5)
    careful = kept(held, 0.95, 1.0)  # 0.96 − 0.02 is not sure enough
    assert (careful["lowered"], careful["kept"]) == (pytest.approx(1 / 3), 1.0)


def test_offsets_leave_less_of_a_bias_the_more_audits_there_are():
    gaps = np.random.default_rng(1).normal(-0.02, 0.05, 3000)
    left = [left_over(gaps, audits, np.random.default_rng(2)) for audits in (0, 25, 100, 400)]
    assert left[0] == pytest.approx(abs(gaps.mean()))
    assert left == sorted(left, reverse=True)


def test_a_mean_over_few_hundred_is_within_half_a_point_unless_there_is_a_bias():
    rng = np.random.default_rng(3)
    gaps = rng.normal(0, 0.02, 3000)
    assert within(gaps - gaps.mean(), rng) > 0.99
    assert within(gaps - gaps.mean() + 0.02, rng) == 0.0
