"""Filling a hole from what is certain outwards, with a predictor that knows the distribution of the pixels."""

from itertools import pairwise

import pytest
import torch

from tests.workers.kinds.gaussian import assert_drawn_from
from workers.kinds.sdm import fill

SIDE, COUNT = 3, 20_000
PIXELS = SIDE * SIDE
KNOWN = torch.tensor([[1, 1, 0], [0, 0, 0], [0, 0, 1]], dtype=torch.bool).view(1, 1, SIDE, SIDE)
PLACES = torch.tensor([(n // SIDE, n % SIDE) for n in range(PIXELS)], dtype=torch.float64)
COVARIANCE = torch.exp(-torch.cdist(PLACES, PLACES).square() / 3.0) + 0.05 * torch.eye(PIXELS)  # near pixels are alike
MEAN = torch.linspace(-0.5, 0.5, PIXELS, dtype=torch.float64)


def conditioned(certain):
    """Gain, and covariance (n, n), of the pixels given those that are certain."""
    across = COVARIANCE[:, certain] @ torch.linalg.inv(COVARIANCE[certain][:, certain])
    return across, COVARIANCE - across @ COVARIANCE[certain]


def predict(picture, certain, uncertainty, share):
    """Mean and deviation of each pixel given the certain ones, which are the same in all rows."""
    assert torch.equal(uncertainty == 1.0, ~certain)
    at = certain[0].flatten()
    gain, covariance = conditioned(at)
    flat = picture.flatten(1)
    mean = MEAN + (flat[:, at] - MEAN[at]) @ gain.T
    deviation = covariance.diagonal().clamp(min=0).sqrt().expand_as(flat)
    return mean.view_as(picture), deviation.view_as(picture)


def start(count):
    values = torch.tensor([0.9, 0.4, 0, 0, 0, 0, 0, 0, -0.7], dtype=torch.float64)
    return values.view(1, 1, SIDE, SIDE).expand(count, 1, SIDE, SIDE), KNOWN.expand(count, 1, SIDE, SIDE)


def test_pixel_by_pixel_it_draws_from_the_posterior():
    """With one pixel a round and the whole spread it is ancestral sampling; of the last pixel it gives the mean."""
    picture, known = start(COUNT)
    hole = ~KNOWN.flatten()
    seen = []

    def watched(picture, certain, uncertainty, share):
        seen.append(certain[0].flatten().clone())
        return predict(picture, certain, uncertainty, share)

    drawn = fill(watched, picture, known, int(hole.sum()), 1.0, torch.Generator().manual_seed(1)).flatten(1)
    gain, covariance = conditioned(~hole)
    mean = MEAN + gain @ (picture[0].flatten()[~hole] - MEAN[~hole])
    order = [int((after & ~before).nonzero()) for before, after in pairwise(seen)]
    last = int((~seen[-1]).nonzero())
    factor = torch.linalg.cholesky(covariance[[*order, last]][:, [*order, last]])
    factor[-1, -1] = 0.0
    places = [*order, last]
    assert_drawn_from(drawn[:, places], mean[places], factor @ factor.T)


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_in_few_rounds_the_mean_is_that_of_the_posterior(rounds):
    picture, known = start(1)
    drawn = fill(predict, picture, known, rounds, spread=0.0).flatten()
    gain, _ = conditioned(KNOWN.flatten())
    assert torch.allclose(drawn, MEAN + gain @ (picture.flatten()[KNOWN.flatten()] - MEAN[KNOWN.flatten()]))


def test_each_round_keeps_the_surest_of_the_hole_and_nothing_known_changes():
    picture, known = start(2)
    certain_now = []

    def watched(picture, certain, uncertainty, share):
        certain_now.append(certain.clone())
        return predict(picture, certain, uncertainty, share)

    drawn = fill(watched, picture, known, 3, 0.5, torch.Generator().manual_seed(2))
    assert [int(certain[0].sum()) for certain in certain_now] == [3, 5, 7]
    _, covariance = conditioned(KNOWN.flatten())
    fresh = (certain_now[1] & ~certain_now[0])[0].flatten()
    later = (~certain_now[1])[0].flatten()
    assert covariance.diagonal()[fresh].max() <= covariance.diagonal()[later].min()
    assert torch.equal(drawn[known], picture[known])


def test_rows_have_holes_of_their_own_size():
    pictures = torch.ones(2, 3, 4, 4)
    known = torch.ones(2, 1, 4, 4, dtype=torch.bool)
    known[0, :, 0, 0], known[1, :, 1:] = False, False

    def half(picture, certain, uncertainty, share):
        return torch.full_like(picture, 0.5), torch.full_like(picture, 0.1)

    drawn = fill(half, pictures, known, 2)
    assert torch.allclose(drawn, torch.where(known, 1.0, 0.5), atol=0.05)
