"""What a step costs by rows: straight between measurements, a fitted line outside, corrected by what is observed."""

import pytest

from core.step_curve import StepCurve


def test_a_curve_is_straight_between_measurements_and_says_what_batching_gains() -> None:
    curve = StepCurve((1, 2, 4), (1.0, 1.2, 2.0))
    assert curve.step_s(3) == pytest.approx(1.6)
    assert curve.speed(4) == pytest.approx(0.5)
    assert curve.gain == pytest.approx(2.0)
    assert curve.speed(99) == curve.speed(4)
    assert curve.worthwhile == 4
    assert StepCurve((1, 2, 4), (1.0, 1.2, 2.35)).worthwhile == 2


def test_beyond_what_was_measured_the_fitted_line_goes_on() -> None:
    assert StepCurve.of({4: 2.5, 2: 1.5}).step_s(8) == pytest.approx(4.5)
    assert StepCurve.of({8: 0.8}).step_s(2) == pytest.approx(0.2)
    assert StepCurve.of({1: 1.0, 2: 3.0}).line == (0.0, pytest.approx(7 / 5)), "no step takes less than no time"


def test_a_curve_without_measurements_answers_nothing_and_learns_from_the_first() -> None:
    curve = StepCurve()
    assert curve.step_s(3) == 0.0
    assert curve.observe(3, 0.6).points == {3: 0.6}


def test_a_new_measurement_moves_its_own_point_by_a_fifth_of_the_difference() -> None:
    before = StepCurve.of({1: 1.0, 2: 1.5})
    assert before.observe(1, 2.0).points == {1: pytest.approx(1.2), 2: 1.5}
    assert before.points == {1: 1.0, 2: 1.5}
