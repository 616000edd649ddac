"""What the live check of fair shares makes of the latencies it saw."""

import numpy as np

from bench.fairness_live import ratio_of_p95


def test_the_ratio_of_two_p95_lies_in_its_interval_and_twice_as_long_is_two() -> None:
    alone = np.linspace(0.5, 1.0, 60)
    ratio, low, high = ratio_of_p95(alone, 2 * alone)
    assert round(ratio, 6) == 2.0
    assert low < 2.0 < high


def test_one_that_took_long_widens_the_interval_upwards_only() -> None:
    alone = np.linspace(0.5, 1.0, 60)
    usual, outlier = ratio_of_p95(alone, alone), ratio_of_p95(alone, np.append(alone[:-3], [3.0, 3.0, 3.0]))
    assert outlier[2] > 2 * usual[2]
    assert outlier[1] < 1.1
