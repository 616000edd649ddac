"""A bias that audits show is added to the predictions, as far as there are enough of them."""

import numpy as np
import pytest

from scheduler.prediction.offsets import ODD, offset, offsets


def noisy(bias: float, count: int, noise: float = 0.05, seed: int = 1) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=count)
    return bias + noise * (values - values.mean()) / values.std(ddof=1)


def test_many_audits_are_believed():
    assert offset(noisy(-0.02, 20_000)) == pytest.approx(-0.02, rel=0.02)


def test_few_audits_are_hardly_believed():
    assert abs(offset(noisy(-0.02, 5))) < 0.004
    assert offset(np.array([-0.4])) == pytest.approx(0, abs=1e-4)
    assert offset(np.zeros(0)) == 0.0


def test_each_level_has_its_own_offset():
    gaps = np.concatenate([noisy(0.01, 4000), noisy(-0.01, 4000)])
    found = offsets(["a"] * 4000 + ["b"] * 4000, gaps)
    assert found["a"] == pytest.approx(0.01, rel=0.1)
    assert found["b"] == pytest.approx(-0.01, rel=0.1)


def test_one_odd_audit_does_not_decide():
    gaps = np.append(noisy(0.0, 200, noise=0.02), 19.0)  # a reference that scored next to nothing
    assert 0 < offsets(["a"] * 201, gaps)["a"] < ODD / 200
