"""The engine's bench: the work it makes."""

from bench.serving import make_requests, poisson
from core.families import load_family

FAMILY = load_family("embedded")


def test_half_the_requests_take_the_default_steps_and_the_others_fewer():
    usual = FAMILY.defaults.steps
    steps = [request.steps for request in make_requests(FAMILY, 400)]
    assert 150 < steps.count(usual) < 250
    assert set(steps) - {usual} <= set(range(usual // 3, usual * 5 // 6 + 1))
    assert len(set(steps)) > 4


def test_all_requests_are_of_the_reference_level():
    assert {request.level.id for request in make_requests(FAMILY, 20)} == {FAMILY.reference}


def test_arrivals_have_the_rate_asked_for():
    arrivals = poisson(10.0, 2000, seed=1)
    assert arrivals == sorted(arrivals)
    assert abs(arrivals[-1] - 200) < 25
