"""How well a prompt would survive each level, before anything is drawn.

Argus' predictor (Argus paper, §4.2) tells how far each prompt can be approximated. Ours is a Gaussian process a level
(Rasmussen & Williams 2006, §2.2 and algorithm 2.1) from what is known of a prompt before it runs to relative quality: a
few hundred measured prompts are enough for it, it says how unsure it is, and what is stored is the measurements
themselves, no weights that age apart from them. Its kernel adds up three likenesses of two prompts: of meaning (MiniLM
sentence embedding), of shape (how many things are asked for, how they stand: `surface`), and of words in prompts of a
shape (`vocabulary`: a thing that is hard to draw is so in other prompts). How much each counts, and how much of what was
measured is the noise of seeds, is chosen a level by the error of leaving one out (§5.4.2, equations 5.10 and 5.12).

Approximate caching has a condition of its own: a level that skips K steps is open to a prompt only when a cached
neighbour is near enough (NIRVANA, §4.2: cosine .65 … .95). Otherwise the level costs and gives what `exact` does.
"""

from __future__ import annotations

import io
import itertools
import re
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh

from core.profiles import QualityTable

Array = np.ndarray
Encode = Callable[[Sequence[str]], Array]  # prompts → unit vectors (N, 384)

HELD_OUT = 0.2
MOST_ROWS = 1500  # the process is cubic in rows: 1,500 take half a second
CHOSEN_ON = 500  # rows that kernels are chosen on
NOISES = (0.1, 0.3, 0.6, 1.0, 2.0)  # share of a level's variance, tried with each kernel
REMEMBERED = 20_000  # prompts whose embedding is kept: repeats are frequent
SURFACE, WORDS = 8, 256  # columns of features after the embedding
NUMBERS = {
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "several": 4,
    "many": 6,
}
PLACES = {"above", "below", "left", "right", "under", "over", "beneath", "underneath", "behind", "between", "top"}
JOINS = {"and", "with", "beside", "near", "next"}
SETTINGS = {"background", "backdrop", "wall", "front", "scene", "sky", "style", "light", "lighting"}
SIZES = {"tiny", "little", "small", "big", "large", "huge", "giant"}
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
PLAIN = {*NUMBERS, *PLACES, *JOINS, *SETTINGS, *SIZES, *COLOURS, "the", "one", "picture", "photo"}


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def surface(prompt: str) -> list[float]:
    """What counting tells about a prompt (`SURFACE` numbers, each about 0..2).

    Things asked for, kinds of thing, the largest number, whether places, joins and a setting are named, size words, length.
    """
    parts = [_words(part) for part in prompt.split(",")]
    said = [word for part in parts for word in part]
    numbers = [NUMBERS[word] for word in said if word in NUMBERS]
    joins, placed = sum(word in JOINS for word in said), any(word in PLACES for word in said)
    kinds = max(1, sum(bool(_content(part)) for part in parts)) + joins + placed
    things = sum(numbers) + max(0, kinds - len(numbers))
    sizes, set_somewhere = sum(word in SIZES for word in said), bool(SETTINGS & set(said))
    counts = (things, kinds, max(numbers, default=1))
    return [
        *(min(count, 8) / 2 for count in counts),
        *map(float, (placed, joins > 0, set_somewhere, sizes > 0)),
        len(said) / 8,
    ]


def vocabulary(prompt: str) -> Array:
    """The prompt's content words, singular, hashed to `WORDS` columns; unit length."""
    row = np.zeros(WORDS)
    for word in _content(_words(prompt)):
        row[zlib.crc32(_singular(word).encode()) % WORDS] = 1.0
    return row / max(1.0, np.sqrt(row.sum()))


def _content(words: Sequence[str]) -> set[str]:
    """Those that name or describe things."""
    return {word for word in words if len(word) > 2} - PLAIN


def _singular(word: str) -> str:
    for plural, one in (("ies", "y"), ("xes", "x"), ("ses", "s"), ("ches", "ch"), ("shes", "sh"), ("ss", "ss")):
        if word.endswith(plural):
            return word.removesuffix(plural) + one
    return word.removesuffix("s")


@dataclass(frozen=True)
class Prediction:
    """Relative quality by prompt and level: `mean` and standard deviation `std`, both (N, L), ordered as `levels`."""

    levels: tuple[str, ...]
    mean: Array
    std: Array


@dataclass(frozen=True)
class Kernel:
    """k(x, x') = meaning · exp(−|Δembedding|²/2·length²) + (shape + words · w·w') · exp(−|Δsurface|²/2·reach²), plus noise.

    Targets have unit variance.
    """

    meaning: float = 0.3
    shape: float = 0.3
    words: float = 0.2
    noise: float = 0.7

    LENGTH: ClassVar[float] = 0.5
    REACH: ClassVar[float] = 1.5

    def __call__(self, alike: Alike) -> Array:
        return self.meaning * alike.meaning + (self.shape + self.words * alike.words) * alike.shape

    @property
    def diagonal(self) -> float:
        """k(x, x), at most: a prompt without content words has `words` less."""
        return self.meaning + self.shape + self.words


@dataclass(frozen=True)
class Alike:
    """How alike prompts (N, M) are in meaning, shape and words, each 0..1."""

    meaning: Array
    shape: Array
    words: Array

    @staticmethod
    def of(a: Array, b: Array) -> Alike:
        """From features (N, F) and (M, F): embedding, `SURFACE` columns, `WORDS` columns."""
        ends = (a.shape[1] - SURFACE - WORDS, a.shape[1] - WORDS)
        (ma, sa, wa), (mb, sb, wb) = (np.split(x, ends, axis=1) for x in (a, b))
        return Alike(_near(ma, mb, Kernel.LENGTH), _near(sa, sb, Kernel.REACH), wa @ wb.T)


def _near(a: Array, b: Array, length: float) -> Array:
    squared = np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T, 0)
    return np.exp(-squared / (2 * length**2))


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
    """A fitted Gaussian process a level, over the same measured prompts: `features` (M, F), `quality` (M, L).

    `kernels` has one for each level.
    """

    levels: tuple[str, ...]
    features: Array
    quality: Array
    kernels: tuple[Kernel, ...]
    version: int = 1
    figures: Figures | None = None

    @property
    def means(self) -> Array:
        return self.quality.mean(axis=0)

    @cached_property
    def _scale(self) -> Array:
        return np.maximum(self.quality.std(axis=0), 1e-6)

    @cached_property
    def _fits(self) -> list[tuple[Kernel, list[int], Any, Array]]:
        """For each distinct kernel: its levels, the factor of its matrix, the weights of the measured prompts."""
        alike = Alike.of(self.features, self.features)
        targets = (self.quality - self.means) / self._scale
        fits = []
        for kernel in dict.fromkeys(self.kernels):
            mine = [i for i, other in enumerate(self.kernels) if other == kernel]
            factor = cho_factor(kernel(alike) + kernel.noise * np.eye(len(targets)), lower=True)
            fits.append((kernel, mine, factor, cho_solve(factor, targets[:, mine])))
        return fits

    def predict(self, features: Array) -> Prediction:
        """Mean and standard deviation for prompts given as features (N, F)."""
        alike = Alike.of(features, self.features)
        mean, std = np.empty((2, len(features), len(self.levels)))
        for kernel, mine, factor, weights in self._fits:
            cross = kernel(alike)
            mean[:, mine] = cross @ weights
            explained = (cross * cho_solve(factor, cross.T).T).sum(1)
            std[:, mine] = np.sqrt(np.maximum(kernel.diagonal - explained, 1e-9) + kernel.noise)[:, None]
        return Prediction(self.levels, self.means + mean * self._scale, std * self._scale)

    def dump(self) -> bytes:
        """The predictor as an .npz archive (numbers only, nothing that runs when read)."""
        sink = io.BytesIO()
        np.savez_compressed(
            sink,
            levels=np.array(self.levels),
            features=self.features.astype(np.float32),
            quality=self.quality.astype(np.float32),
            kernels=np.array([astuple(kernel) for kernel in self.kernels]),
            version=np.array(self.version),
        )
        return sink.getvalue()

    @staticmethod
    def load(data: bytes) -> Predictor:
        """What `dump` wrote. `ValueError` for what another version of Argus wrote."""
        with np.load(io.BytesIO(data), allow_pickle=False) as parts:
            if "kernels" not in parts:
                raise ValueError("this predictor was written by another version of Argus")
            return Predictor(
                levels=tuple(str(level) for level in parts["levels"]),
                features=parts["features"].astype(np.float64),
                quality=parts["quality"].astype(np.float64),
                kernels=tuple(Kernel(*map(float, row)) for row in parts["kernels"]),
                version=int(parts["version"]),
            )


def train(table: QualityTable, features: Array, *, seed: int = 0, version: int = 1) -> Predictor:
    """Fit on a quality table whose prompts have these features (N, F); figures are from prompts held out.

    Kernels are chosen without those; then all rows are used. Tables of more than `MOST_ROWS` are sampled.
    """
    order = np.random.default_rng(seed).permutation(len(table))[:MOST_ROWS]
    cut = max(1, int(len(order) * HELD_OUT))
    held, rest = order[:cut], order[cut:]
    kernels = _chosen(table.values[rest[:CHOSEN_ON]], features[rest[:CHOSEN_ON]])
    figures = judge(_fitted(table, features, rest, kernels, version), features[held], table.values[held])
    return replace(_fitted(table, features, order, kernels, version), figures=figures)


def _chosen(quality: Array, features: Array) -> tuple[Kernel, ...]:
    """For each level the kernel with the least error on quality (N, L) when each prompt is left out."""
    alike = Alike.of(features, features)
    scale = np.maximum(quality.std(axis=0), 1e-6)
    targets = (quality - quality.mean(axis=0)) / scale
    best, errors = [Kernel(0.0, 0.0, 0.0, 1.0)] * quality.shape[1], (targets**2).mean(axis=0)
    for kernel in _kernels():
        values, vectors = eigh(kernel(alike) + 1.0)  # + 1: the mean is left out as well
        turned = vectors.T @ targets
        for noise in NOISES:
            inverse = 1 / (np.maximum(values, 0) + noise)
            left_out = (vectors @ (turned * inverse[:, None])) / ((vectors**2) @ inverse)[:, None]
            error = (left_out**2).mean(axis=0)
            for i in np.flatnonzero(error < errors):
                best[i], errors[i] = replace(kernel, noise=noise), error[i]
    return tuple(best)


def _kernels() -> list[Kernel]:
    weights = itertools.product((0.0, 0.3, 1.0), (0.0, 0.3, 1.0), (0.0, 0.3, 1.0))
    return [Kernel(*weight) for weight in weights if any(weight)]


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
        """Features (N, F) of the prompts: unit sentence embedding, `surface`, `vocabulary`."""
        missing = list(dict.fromkeys(prompt for prompt in prompts if prompt not in self._known))
        if missing:
            vectors = np.asarray(self._encode(missing), dtype=np.float64)
            for prompt, vector in zip(missing, vectors, strict=True):
                self._known[prompt] = np.concatenate([vector, surface(prompt), vocabulary(prompt)])
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


def _fitted(table: QualityTable, features: Array, rows: Array, kernels: tuple[Kernel, ...], version: int) -> Predictor:
    return Predictor(table.levels, features[rows].astype(np.float64), table.values[rows], kernels, version)


def _mse(predictor: Predictor, features: Array, quality: Array) -> float:
    return float(((predictor.predict(features).mean - quality) ** 2).mean())
