"""How well a prompt would survive each level, before anything is drawn.

Argus' predictor (Argus paper, §4.2) tells how far each prompt can be approximated. Ours is a Gaussian process
(Rasmussen & Williams 2006, §2.2 and algorithm 2.1) from what is known of a prompt before it runs (MiniLM sentence
embedding, surface features) to relative quality at every level: a few hundred measured prompts are enough for it, it
says how unsure it is, and what is stored is the measurements themselves, no weights that age apart from them.

Approximate caching has a condition of its own: a level that skips K steps is open to a prompt only when a cached
neighbour is near enough (NIRVANA, §4.2: cosine .65 … .95). Otherwise the level costs and gives what `exact` does.
"""

from __future__ import annotations

import io
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from core.profiles import QualityTable

Array = np.ndarray
Encode = Callable[[Sequence[str]], Array]  # prompts → unit vectors (N, 384)

HELD_OUT = 0.2
MOST_ROWS = 1500  # the process is cubic in rows: 1,500 take half a second
REMEMBERED = 20_000  # prompts whose embedding is kept: repeats are frequent
NUMBERS = {"two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "several", "many"}
PLACES = {"above", "below", "left", "right", "next", "under", "over", "behind", "between", "beside", "on"}
JOINS = {"and", "with", "beside", "near"}
COLOURS = {
    "red",
    "green",
    "blue",
    "yellow",
    "orange",
    "purple",
    "pink",
    "brown",
    "grey",
    "gray",
    "teal",
    "black",
    "white",
}


def surface(prompt: str) -> list[float]:
    """What counting tells about a prompt: length, numbers, places, joins, colours, commas; each about 0..1."""
    words = re.findall(r"[a-z0-9']+", prompt.lower())
    kinds = (NUMBERS, PLACES, JOINS, COLOURS)
    counts = [sum(word in kind for word in words) for kind in kinds]
    return [np.log1p(len(words)) / 4, *(min(count, 4) / 2 for count in counts), min(prompt.count(","), 8) / 4]


@dataclass(frozen=True)
class Prediction:
    """Relative quality by prompt and level: `mean` and standard deviation `std`, both (N, L), ordered as `levels`."""

    levels: tuple[str, ...]
    mean: Array
    std: Array


@dataclass(frozen=True)
class Kernel:
    """k(x, x') = signal · exp(−|x − x'|²/2·length²) + linear · x·x', plus noise; targets have unit variance."""

    signal: float = 0.5
    length: float = 1.0
    linear: float = 0.3
    noise: float = 0.5

    def __call__(self, a: Array, b: Array) -> Array:
        squared = np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T, 0)
        return self.signal * np.exp(-squared / (2 * self.length**2)) + self.linear * a @ b.T

    def diagonal(self, a: Array) -> Array:
        return self.signal + self.linear * (a * a).sum(1)


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
    """A fitted Gaussian process, all levels sharing one kernel matrix.

    `features` (M, F) and `quality` (M, L) are the measured prompts;
    """

    levels: tuple[str, ...]
    features: Array
    quality: Array
    kernel: Kernel
    version: int = 1
    figures: Figures | None = None

    @property
    def means(self) -> Array:
        return self.quality.mean(axis=0)

    @cached_property
    def _scale(self) -> Array:
        return np.maximum(self.quality.std(axis=0), 1e-6)

    @cached_property
    def _factor(self) -> Any:
        gram = self.kernel(self.features, self.features)
        return cho_factor(gram + self.kernel.noise * np.eye(len(gram)), lower=True)

    @cached_property
    def _weights(self) -> Array:
        return cho_solve(self._factor, (self.quality - self.means) / self._scale)

    def predict(self, features: Array) -> Prediction:
        """Mean and standard deviation for prompts given as features (N, F)."""
        cross = self.kernel(features, self.features)
        mean = self.means + cross @ self._weights * self._scale
        explained = (cross * cho_solve(self._factor, cross.T).T).sum(1)
        variance = np.maximum(self.kernel.diagonal(features) - explained, 1e-9) + self.kernel.noise
        return Prediction(self.levels, mean, np.sqrt(variance)[:, None] * self._scale)

    def dump(self) -> bytes:
        """The predictor as an .npz archive (numbers only, nothing that runs when read)."""
        sink = io.BytesIO()
        kernel = [self.kernel.signal, self.kernel.length, self.kernel.linear, self.kernel.noise]
        np.savez_compressed(
            sink,
            levels=np.array(self.levels),
            features=self.features.astype(np.float32),
            quality=self.quality.astype(np.float32),
            kernel=np.array(kernel),
            version=np.array(self.version),
        )
        return sink.getvalue()

    @staticmethod
    def load(data: bytes) -> Predictor:
        """What `dump` wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as parts:
            return Predictor(
                levels=tuple(str(level) for level in parts["levels"]),
                features=parts["features"].astype(np.float64),
                quality=parts["quality"].astype(np.float64),
                kernel=Kernel(*(float(value) for value in parts["kernel"])),
                version=int(parts["version"]),
            )


def train(table: QualityTable, features: Array, *, seed: int = 0, version: int = 1) -> Predictor:
    """Fit on a quality table whose prompts have these features (N, F); figures are from prompts held out.

    The kernel is chosen by the held-out error, then all rows are used. Tables of more than `MOST_ROWS` are sampled.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(table))[:MOST_ROWS]
    cut = max(1, int(len(order) * HELD_OUT))
    held, rest = order[:cut], order[cut:]
    tried = [_fitted(table, features, rest, kernel, version) for kernel in _kernels()]
    best = min(tried, key=lambda predictor: _mse(predictor, features[held], table.values[held]))
    figures = judge(best, features[held], table.values[held])
    final = _fitted(table, features, order, best.kernel, version)
    return Predictor(final.levels, final.features, final.quality, final.kernel, version, figures)


def judge(predictor: Predictor, features: Array, quality: Array) -> Figures:
    """Figures of a predictor on measured prompts (N, F), (N, L) it was not fitted on."""
    error = predictor.predict(features).mean - quality
    plain = predictor.means - quality
    by_level = 1 - (error**2).mean(axis=0) / np.maximum((plain**2).mean(axis=0), 1e-12)
    return Figures(
        rows=len(predictor.features),
        held_out=len(features),
        mae=float(np.abs(error).mean()),
        mae_of_means=float(np.abs(plain).mean()),
        skill=float(1 - (error**2).mean() / max((plain**2).mean(), 1e-12)),
        by_level={level: float(skill) for level, skill in zip(predictor.levels, by_level, strict=True)},
    )


def better(new: Predictor, old: Predictor | None, features: Array, quality: Array) -> bool:
    """Whether `new` has the lower error on prompts that neither was fitted on."""
    return old is None or old.levels != new.levels or _mse(new, features, quality) < _mse(old, features, quality)


def drifted(predicted: Array, measured: Array, tolerance: float = 0.05, least: int = 50) -> bool:
    """Whether measured quality (N,) has left what was predicted (N,): the mean gap is over `tolerance` and is not noise
    (three standard errors). Fewer than `least` pairs tell nothing."""
    gap = measured - predicted
    if len(gap) < least:
        return False
    return bool(abs(gap.mean()) > max(tolerance, 3 * gap.std() / np.sqrt(len(gap))))


class Features:
    """Prompts to features, in batches, remembering repeats. Embedding costs 5 ms a prompt in a batch, 23 ms alone."""

    def __init__(self, encode: Encode | None = None) -> None:
        self._encode = encode or _minilm
        self._known: OrderedDict[str, Array] = OrderedDict()

    def __call__(self, prompts: Sequence[str]) -> Array:
        """Features (N, F) of the prompts: unit sentence embedding, then surface features."""
        missing = list(dict.fromkeys(prompt for prompt in prompts if prompt not in self._known))
        if missing:
            vectors = np.asarray(self._encode(missing), dtype=np.float64)
            for prompt, vector in zip(missing, vectors, strict=True):
                self._known[prompt] = np.concatenate([vector, surface(prompt)])
        rows = np.stack([self._known[prompt] for prompt in prompts])
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return rows


def _minilm(prompts: Sequence[str], batch: int = 32) -> Array:
    """Unit sentence embeddings (N, 384). Sorted by length, so that a batch pads little."""
    from core.text import shared_encoder

    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    out = np.empty((len(prompts), 384), dtype=np.float32)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        out[chosen] = shared_encoder().sentences([prompts[i] for i in chosen]).numpy()
    return out


def _kernels() -> list[Kernel]:
    return [
        Kernel(signal=signal, length=length, linear=linear, noise=noise)
        for signal, linear in ((0.0, 0.5), (0.5, 0.3), (0.8, 0.1))
        for length in (0.5, 0.8, 1.2)
        for noise in (0.3, 0.8, 2.0)
    ]


def _fitted(table: QualityTable, features: Array, rows: Array, kernel: Kernel, version: int) -> Predictor:
    return Predictor(table.levels, features[rows].astype(np.float64), table.values[rows], kernel, version)


def _mse(predictor: Predictor, features: Array, quality: Array) -> float:
    return float(((predictor.predict(features).mean - quality) ** 2).mean())
