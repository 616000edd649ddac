"""Corrections are least squares by channel, from moments alone."""

from __future__ import annotations

import numpy as np

from workers.strategies.cachequant.correction import FeatureMoments, OutputMoments

STEPS, CHANNELS, VALUES = 5, 3, 200
STARTS = (0, 3)
NOTHING = np.zeros((STEPS, STEPS))


def runs(count: int, seed: int) -> list[np.ndarray]:
    """Runs whose features at a step are a line of those at the first, by channel, and noise."""
    line = np.random.default_rng(1)
    scale, shift = line.normal(1, 0.5, (2, STEPS, CHANNELS, 1))
    rng = np.random.default_rng(seed)
    first = rng.normal(2, 1, (count, 1, CHANNELS, VALUES))
    return list((scale * first + shift + rng.normal(0, 0.1, (count, STEPS, CHANNELS, VALUES))).astype(np.float32))


def test_least_squares_correct_features_as_numpy_fits_them():
    moments, seen = FeatureMoments.zero(STEPS, CHANNELS), runs(4, 2)
    for features in seen:
        moments.add(features, NOTHING)
    scale, shift = moments.correction(STARTS, "least squares")
    together = np.concatenate(seen, axis=-1)
    for step, start in ((1, 0), (2, 0), (4, 3)):
        for channel in range(CHANNELS):
            fitted = np.polyfit(together[start, channel], together[step, channel], 1)
            assert np.allclose(fitted, (scale[step, channel], shift[step, channel]), atol=1e-5)
    assert (scale[list(STARTS)] == 1).all()
    assert (shift[list(STARTS)] == 0).all()


def test_matched_features_have_the_mean_and_deviation_of_the_computed_ones():
    moments, seen = FeatureMoments.zero(STEPS, CHANNELS), runs(4, 2)
    for features in seen:
        moments.add(features, NOTHING)
    scale, shift = moments.correction(STARTS)
    together = np.concatenate(seen, axis=-1)
    for step, start in ((1, 0), (2, 0), (4, 3)):
        corrected = scale[step, :, None] * together[start] + shift[step, :, None]
        assert np.allclose(corrected.mean(-1), together[step].mean(-1), atol=1e-4)
        assert np.allclose(corrected.std(-1), together[step].std(-1), atol=1e-4)


def test_corrected_features_of_runs_not_seen_are_nearer_to_the_computed_ones():
    moments = FeatureMoments.zero(STEPS, CHANNELS)
    for features in runs(4, 2):
        moments.add(features, NOTHING)
    scale, shift = moments.correction(STARTS)
    for features in runs(3, 9):
        for step, start in ((1, 0), (2, 0), (4, 3)):
            corrected = scale[step, :, None] * features[start] + shift[step, :, None]
            assert np.abs(corrected - features[step]).mean() < np.abs(features[start] - features[step]).mean()


def test_distances_are_summed_over_runs():
    moments, seen = FeatureMoments.zero(STEPS, CHANNELS), runs(2, 2)
    for features in seen:
        moments.add(features, NOTHING)
    assert np.isclose(moments.distance[1, 4], sum(np.abs(f[4] - f[1]).sum() for f in seen), rtol=1e-4)
    assert (moments.count, moments.runs) == (2 * VALUES, 2)


def test_a_channel_that_does_not_vary_is_shifted_and_not_scaled():
    moments = FeatureMoments.zero(2, 1)
    moments.add(np.stack([np.full((1, 9), 4.0), np.full((1, 9), 7.0)]), np.zeros((2, 2)))
    scale, shift = moments.correction((0,))
    assert (scale[1, 0], shift[1, 0]) == (1, 3)


def test_outputs_are_corrected_step_by_step():
    moments, rng = OutputMoments.zero(2, CHANNELS), np.random.default_rng(0)
    for step, (a, b) in enumerate(((1.1, -0.2), (0.9, 0.3))):
        quantised = rng.normal(size=(CHANNELS, VALUES))
        moments.add(step, quantised, a * quantised + b)
    scale, shift = moments.correction()
    assert np.allclose(scale, [[1.1] * CHANNELS, [0.9] * CHANNELS])
    assert np.allclose(shift, [[-0.2] * CHANNELS, [0.3] * CHANNELS])
