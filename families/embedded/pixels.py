"""What can be checked by looking at pixels alone: the colour of the ground, and how many things stand on it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from families.embedded.recipe.words import COLOURS

APART = 24  # in 0…255: a pixel further than this from the ground, in any channel, belongs to a thing
CLOSING = 0.02  # holes and cracks up to this share of the side are closed
SMALLEST = 0.008  # a thing covers at least this share of the picture
FAR = 48  # a ground further than this from the colour asked for is another colour


def ground(picture: np.ndarray) -> np.ndarray:
    """The colour around the edge of a (H, W, 3) picture: the median of its outermost pixels, each channel alone."""
    edge = np.concatenate(
        [
            picture[:2].reshape(-1, 3),
            picture[-2:].reshape(-1, 3),
            picture[:, :2].reshape(-1, 3),
            picture[:, -2:].reshape(-1, 3),
        ]
    )
    return np.asarray(np.median(edge, axis=0))


def ground_is(picture: np.ndarray, colour: str) -> bool:
    """Whether the ground is nearest to that named colour, and near."""
    distances = {name: float(np.linalg.norm(ground(picture) - value)) for name, value in COLOURS.items()}
    return min(distances, key=distances.__getitem__) == colour and distances[colour] < FAR


def things_in(picture: np.ndarray) -> int:
    """How many separate things stand on the ground."""
    difference = np.abs(picture.astype(np.float32) - ground(picture)).max(axis=-1)
    radius = max(1, round(CLOSING * len(picture) / 2))
    padded = np.pad(difference > APART, radius)
    joined = ndimage.binary_closing(padded, np.ones((3, 3)), iterations=radius)
    labels, count = ndimage.label(joined, np.ones((3, 3)))
    areas = ndimage.sum_labels(joined, labels, range(1, count + 1))
    return int(np.sum(np.asarray(areas) >= SMALLEST * difference.size))
