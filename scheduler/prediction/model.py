"""How well a prompt would survive each level, before anything is drawn.

Argus' predictor (Argus paper, §4.2) tells how far each prompt can be approximated. Ours is a Gaussian process a level
(Rasmussen & Williams 2006, §2.2 and algorithm 2.1) from what is known of a prompt before it runs to relative quality. What is
kept are the measured prompts' features and their weights; a prompt costs a likeness to each of them. How unsure it is comes
from the first `SURE` of them (§8.3.1, a subset of data), which never says less than all of them would.

Its kernel compares prompts by what they mean (as the family's judge reads them, where that is cheap; else MiniLM), by shape
(how many things are asked for, how they stand: `surface`) and by words (`vocabulary`; squared, so that pairs of things count:
which pair is hard to draw is much of what there is to know). How much of what was measured is the noise of seeds is chosen a
level by the error of leaving one out (§5.4.2).

Approximate caching has a condition of its own: a level that skips K steps is open to a prompt only when a cached
neighbour is near enough (NIRVANA, §4.2: cosine .65 … .95). Otherwise the level costs and gives what `exact` does.
"""

from __future__ import annotations

import io
import json
import re
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from scipy.linalg import cho_factor, cho_solve, eigh

from core.families import Family
from core.profiles import QualityTable

Array = np.ndarray
Encode = Callable[[Sequence[str]], Array]  # prompts → unit vectors (N, D)

HELD_OUT = 0.2
MOST_ROWS = 8000  # the process is cubic in rows: 6,000 take ten seconds a noise
SURE = 800  # rows that noise is chosen on, and that tell how unsure it is
NOISES = (0.1, 0.3, 0.6, 1.0, 2.0, 4.0, 8.0, 1e3)  # variance of the noise, tried a level; the kernel's is `DIAGONAL`
MEANING, SHAPE, WORD = 0.6, 0.2, 0.3  # what each likeness counts
LENGTH, REACH = 0.4, 1.5  # how far it goes, in embedding and in surface
DIAGONAL = MEANING + SHAPE + WORD  # k(x, x), at most: a prompt without content words has `WORD` less
BLOCK = 256  # prompts read at a time
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


def alike(a: Array, b: Array) -> Array:
    """k(x, x') = (meaning · exp(−|Δembedding|²/2·length²) + shape + words · (w·w')²) · exp(−|Δsurface|²/2·reach²).

    From features (N, F) and (M, F), embedding, `SURFACE` columns, `WORDS` columns, to (N, M).
    """
    ends = (a.shape[1] - SURFACE - WORDS, a.shape[1] - WORDS)
    (ma, sa, wa), (mb, sb, wb) = (np.split(x, ends, axis=1) for x in (a, b))
    return (MEANING * _near(ma, mb, LENGTH) + SHAPE + WORD * (wa @ wb.T) ** 2) * _near(sa, sb, REACH)


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
    """A fitted Gaussian process a level over the same measured prompts: `features` (M, F), `weights` (M, L).

    Targets have zero mean and unit variance; `means` and `scale` (L,) undo that, `noise` (L,) is their noise's variance.
    `of` says for which family and version it was trained.
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
        return self._mean(self._alike(features))

    def predict(self, features: Array) -> Prediction:
        """Mean and standard deviation for prompts given as features (N, F)."""
        likeness = self._alike(features)
        variance = np.empty((len(features), len(self.levels)))
        for noise, factor in self._sure.items():
            cross = likeness[:, :SURE].T
            unexplained = DIAGONAL - (cross * cho_solve(factor, cross)).sum(0)
            variance[:, self.noise == noise] = (np.maximum(unexplained, 0) + noise)[:, None]
        return Prediction(self.levels, self._mean(likeness), np.sqrt(variance) * self.scale)

    def _alike(self, features: Array) -> Array:
        return alike(features.astype(self.features.dtype), self.features)

    def _mean(self, likeness: Array) -> Array:
        return self.means + likeness @ self.weights * self.scale

    @cached_property
    def _sure(self) -> dict[float, Any]:
        """For each noise the factor of the first rows' matrix."""
        some = alike(self.features[:SURE], self.features[:SURE])
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


NUMBERED = ("features", "weights", "noise", "means", "scale")


def train(table: QualityTable, features: Array, *, seed: int = 0, version: int = 1, of: str = "") -> Predictor:
    """Fit on a quality table whose prompts have these features (N, F); figures are from a fifth that was held out at first.

    Tables of more than `MOST_ROWS` are sampled.
    """
    order = np.random.default_rng(seed).permutation(len(table))[:MOST_ROWS]
    cut = max(1, int(len(order) * HELD_OUT))
    held, rest = order[:cut], order[cut:]
    figures = judge(fitted(table, features, rest), features[held], table.values[held])
    return replace(fitted(table, features, order), figures=figures, version=version, of=of)


def fitted(table: QualityTable, features: Array, rows: Array) -> Predictor:
    """The process over these rows of the table."""
    features, quality = features[rows].astype(np.float16).astype(np.float64), table.values[rows]
    means, scale = quality.mean(axis=0), np.maximum(quality.std(axis=0), 1e-6)
    targets, likeness = (quality - means) / scale, alike(features, features)
    noise, weights = _noise(likeness[:SURE, :SURE], targets[:SURE]), np.empty_like(targets)
    for one in np.unique(noise):
        mine = noise == one
        weights[:, mine] = cho_solve(cho_factor(likeness + one * np.eye(len(rows)), overwrite_a=True), targets[:, mine])
    return Predictor(table.levels, features, weights, noise, means, scale)


def _noise(likeness: Array, targets: Array) -> Array:
    """The noise (L,) with the least error of targets (N, L) when each row is left out (equations 5.10 and 5.12)."""
    values, vectors = eigh(likeness + 1.0)  # + 1: the mean is left out as well
    errors = []
    for noise in NOISES:
        inverse = 1 / (np.maximum(values, 0) + noise)
        left_out = (vectors @ (vectors.T @ targets * inverse[:, None])) / ((vectors**2) @ inverse)[:, None]
        errors.append((left_out**2).mean(axis=0))
    return np.array(NOISES)[np.argmin(errors, axis=0)]


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
    """Prompts to features, in batches, remembering repeats. Reading costs 3 ms a prompt in a batch, 12 ms alone."""

    def __init__(self, encode: Encode | None = None) -> None:
        self._encode = encode or _minilm
        self._known: OrderedDict[str, Array] = OrderedDict()

    @staticmethod
    def of(family: Family) -> Features:
        """As the family's judge reads prompts, where its text side is small; else sentence embeddings."""
        return Features(_as_judged(family) if family.scorer.kind == "embedded-clip" else None)

    def __call__(self, prompts: Sequence[str]) -> Array:
        """Features (N, F) of the prompts: unit embedding, `surface`, `vocabulary`."""
        missing = list(dict.fromkeys(prompt for prompt in prompts if prompt not in self._known))
        if missing:
            vectors = np.asarray(self._encode(missing), dtype=np.float64)
            for prompt, vector in zip(missing, vectors, strict=True):
                self._known[prompt] = np.concatenate([vector, surface(prompt), vocabulary(prompt)])
        rows = np.stack([self._known[prompt] for prompt in prompts])
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return rows


def _as_judged(family: Family) -> Encode:
    """The judge's unit text vectors (N, 128); it is loaded with the first prompt."""

    @cache
    def judge() -> Any:
        from families.embedded.judge import load_judge

        return load_judge(Path(family.scorer.location))

    def read(prompts: Sequence[str]) -> Array:
        import torch

        from core.text import shared_encoder

        found = []
        for start in range(0, len(prompts), BLOCK):
            states, mask = shared_encoder().tokens(prompts[start : start + BLOCK])
            longest = int(mask.sum(1).max())
            with torch.inference_mode():
                found.append(judge().texts(states[:, :longest], mask[:, :longest]))
        return torch.cat(found).numpy()

    return read


def _minilm(prompts: Sequence[str]) -> Array:
    """Unit sentence embeddings (N, 384)."""
    from core.text import shared_encoder

    return shared_encoder().sentences(prompts).numpy()


def _mse(predictor: Predictor, features: Array, quality: Array) -> float:
    return float(((predictor.predict(features).mean - quality) ** 2).mean())
