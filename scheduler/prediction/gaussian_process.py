"""How well a prompt would survive each level, before anything is drawn: a Gaussian process a level.

Argus' predictor (Argus paper, §4.2) tells how far each prompt can be approximated. Ours is a Gaussian process a level
(Rasmussen & Williams 2006, §2.2 and algorithm 2.1) from what is known of a prompt before it runs (`features.py`) to
relative quality. It keeps the measured prompts' features and their weights; predicting a prompt costs one kernel value
for each of them. The standard deviation comes from the first `VARIANCE_ROWS` of them (§8.3.1, a subset of data), which
is never below what all of them would give.

The kernel compares prompts by meaning, shape and words (words squared, so that pairs of things count: which pair is
hard to draw is much of what there is to know). How much of what was measured is the noise of seeds is chosen a level by
leave-one-out error (§5.4.2).

Approximate caching has a condition of its own: a level that skips K steps is open to a prompt only when a cached
neighbour is near enough (NIRVANA, §4.2: cosine .65 … .95). Otherwise the level costs and gives what `exact` does.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any
from zipfile import BadZipFile

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from scheduler.prediction.features import SURFACE, WORDS

Array = np.ndarray
VARIANCE_ROWS = 800  # rows that the noise is chosen on, and that the standard deviation comes from
MEANING, SHAPE, WORD = 0.6, 0.2, 0.3  # weight of each part of the kernel
LENGTH, REACH = 0.4, 1.5  # length scales, in embedding and in surface
DIAGONAL = MEANING + SHAPE + WORD  # k(x, x), at most: a prompt without content words has `WORD` less
NUMBERED = ("features", "weights", "noise", "means", "scale")


@dataclass(frozen=True)
class Prediction:
    """Relative quality by prompt and level: `mean` and standard deviation `std`, both (N, L), ordered as `levels`."""

    levels: tuple[str, ...]
    mean: Array
    std: Array


def kernel(a: Array, b: Array) -> Array:
    """k(x, x') = (meaning · exp(−|Δembedding|²/2·length²) + shape + words · (w·w')²) · exp(−|Δsurface|²/2·reach²).

    From features (N, F) and (M, F), embedding, `SURFACE` columns, `WORDS` columns, to (N, M).
    """
    ends = (a.shape[1] - SURFACE - WORDS, a.shape[1] - WORDS)
    (ma, sa, wa), (mb, sb, wb) = (np.split(x, ends, axis=1) for x in (a, b))
    alike = MEANING * _near(ma, mb, LENGTH) + SHAPE + WORD * (wa @ wb.T) ** 2
    covariance: Array = alike * _near(sa, sb, REACH)
    return covariance


def _near(a: Array, b: Array, length: float) -> Array:
    squared = np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T, 0)
    near: Array = np.exp(-squared / (2 * length**2))
    return near


@dataclass(frozen=True)
class Figures:
    """How good a predictor was on prompts it had not seen. Errors in relative quality; `skill` is 1 − MSE / MSE of the
    level means (0: no better than knowing the level alone)."""

    rows: int
    held_out: int
    mae: float
    mae_of_means: float
    skill: float
    by_level: dict[str, float] = field(default_factory=dict)  # skill of each level


@dataclass(frozen=True)
class Predictor:
    """A fitted Gaussian process a level over the same measured prompts: `features` (M, F), `weights` (M, L).

    Targets have zero mean and unit variance, which `means` and `scale` (L,) undo; `noise` (L,) is the variance of their
    noise. `of` says for which family and version it was trained.
    """

    levels: tuple[str, ...]
    features: Array
    weights: Array
    noise: Array
    means: Array
    scale: Array
    version: int = 1
    of: str = ""
    figures: Figures | None = None

    def expect(self, features: Array) -> Array:
        """The mean (N, L) alone, for prompts given as features (N, F): all that routing asks."""
        covariance = kernel(features.astype(self.features.dtype), self.features)
        mean: Array = self.means + covariance @ self.weights * self.scale
        return mean

    def predict(self, features: Array) -> Prediction:
        """Mean and standard deviation for prompts given as features (N, F)."""
        return Prediction(self.levels, self.expect(features), self.spread(features))

    def spread(self, features: Array) -> Array:
        """The standard deviation (N, L) alone, of what one image with one seed will turn out to keep."""
        cross = kernel(features.astype(self.features.dtype), self.features[:VARIANCE_ROWS]).T
        variance = np.empty((len(features), len(self.levels)))
        for noise, factor in self._factors.items():
            unexplained = DIAGONAL - (cross * cho_solve(factor, cross)).sum(0)
            variance[:, self.noise == noise] = (np.maximum(unexplained, 0) + noise)[:, None]
        deviation: Array = np.sqrt(variance) * self.scale
        return deviation

    @cached_property
    def _factors(self) -> dict[float, Any]:
        """For each noise the factor of the first rows' matrix."""
        some = kernel(self.features[:VARIANCE_ROWS], self.features[:VARIANCE_ROWS])
        return {noise: cho_factor(some + noise * np.eye(len(some))) for noise in np.unique(self.noise)}

    def dump(self) -> bytes:
        """The predictor as an .npz archive (numbers only, nothing that runs when read)."""
        sink = io.BytesIO()
        parts: dict[str, Any] = {name: np.asarray(getattr(self, name), np.float32) for name in NUMBERED}
        parts |= {"features": parts["features"].astype(np.float16), "levels": np.array(self.levels)}
        parts |= {"version": self.version, "of": self.of}
        parts["figures"] = json.dumps(asdict(self.figures) if self.figures else None)
        np.savez_compressed(sink, **parts)
        return sink.getvalue()

    @staticmethod
    def load(data: bytes) -> Predictor:
        """What `dump` wrote. `ValueError` for what is damaged, or what another version of Argus wrote."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as parts:
                return Predictor(
                    levels=tuple(str(level) for level in parts["levels"]),
                    **{name: parts[name].astype(np.float32) for name in NUMBERED},  # half the memory to go through
                    version=int(parts["version"]),
                    of=str(parts["of"]),
                    figures=Figures(**known) if (known := json.loads(str(parts["figures"]))) else None,
                )
        except (KeyError, TypeError, BadZipFile, EOFError) as error:
            raise ValueError(f"damaged, or written by another version of Argus: {error}") from error
