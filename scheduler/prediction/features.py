"""What is known of a prompt before it runs, as numbers: meaning, shape and words.

Meaning is a unit embedding: as the family's scorer reads prompts, where its text side is small, else MiniLM's. Shape
(`surface`) counts what is asked for and how it is arranged; words (`vocabulary`) are the content words, hashed.
"""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from core.families import Family
from core.prompt_window import read_by

Array = np.ndarray
Encode = Callable[[Sequence[str]], Array]  # prompts → unit vectors (N, D)

BLOCK = 256  # prompts read at a time
REMEMBERED = 5_000  # prompts whose features are kept, 2 to 3 kB each: who trains asks for the same ones again
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


class Features:
    """Prompts to features, in batches, remembering repeats. Reading costs 3 ms a prompt in a batch, 12 ms alone.

    Args:
        encode: prompts → unit vectors; left out, MiniLM's.
        family: whose text encoder reads the prompts; what it leaves out changes no feature.
        remembered: prompts whose features are kept.
    """

    def __init__(
        self, encode: Encode | None = None, family: Family | None = None, remembered: int = REMEMBERED
    ) -> None:
        self._encode, self._family, self._remembered = encode or _minilm, family, remembered
        self._known: OrderedDict[str, Array] = OrderedDict()

    @staticmethod
    def of(family: Family, remembered: int = REMEMBERED) -> Features:
        """As the family's scorer reads prompts, where its text side is small; else sentence embeddings."""
        encode = _scorer_embedding(family) if family.scorer.kind == "embedded-clip" else None
        return Features(encode, family, remembered)

    def __call__(self, prompts: Sequence[str]) -> Array:
        """Features (N, F) of the prompts: unit embedding, `surface`, `vocabulary`."""
        missing = list(dict.fromkeys(prompt for prompt in prompts if prompt not in self._known))
        if missing:
            read = read_by(self._family, missing) if self._family else missing
            vectors = np.asarray(self._encode(read), dtype=np.float64)
            for prompt, text, vector in zip(missing, read, vectors, strict=True):
                known = np.concatenate([vector, surface(text), vocabulary(text)])
                self._known[prompt] = known.astype(np.float32)  # as the embedding and the predictor's features are
        rows = np.stack([self._known[prompt] for prompt in prompts]).astype(np.float64)
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return rows


def _scorer_embedding(family: Family) -> Encode:
    """Unit text vectors (N, 128) of the family's scorer, which is loaded with the first prompt."""

    @cache
    def scorer() -> Any:
        from families.embedded.clip_scorer import load_scorer

        return load_scorer(Path(family.scorer.location))

    def read(prompts: Sequence[str]) -> Array:
        import torch

        from core.text import shared_encoder

        found = []
        for start in range(0, len(prompts), BLOCK):
            states, mask = shared_encoder().tokens(prompts[start : start + BLOCK])
            longest = int(mask.sum(1).max())
            with torch.inference_mode():
                found.append(scorer().texts(states[:, :longest], mask[:, :longest]))
        return torch.cat(found).numpy()

    return read


def sentences(family: Family, prompts: Sequence[str]) -> Array:
    """Unit sentence embeddings (N, 384) of what the family reads of the prompts; nothing is remembered."""
    return _minilm(read_by(family, prompts))


def _minilm(prompts: Sequence[str]) -> Array:
    """Unit sentence embeddings (N, 384)."""
    from core.text import shared_encoder

    return shared_encoder().sentences(prompts).numpy()


def as_vector(embedding: Array) -> str:
    """A vector as pgvector reads it, to the five decimals that half precision keeps."""
    return "[" + ",".join(f"{x:.5f}" for x in embedding) + "]"


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def surface(prompt: str) -> list[float]:
    """What counting tells about a prompt (`SURFACE` numbers, each about 0..2).

    Things asked for, kinds of thing, the largest number, whether places, joins, a setting and sizes are named, length.
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
    unit: Array = row / max(1.0, np.sqrt(row.sum()))
    return unit


def _content(words: Sequence[str]) -> set[str]:
    """Those that name or describe things."""
    return {word for word in words if len(word) > 2} - PLAIN


def _singular(word: str) -> str:
    for plural, one in (("ies", "y"), ("xes", "x"), ("ses", "s"), ("ches", "ch"), ("shes", "sh"), ("ss", "ss")):
        if word.endswith(plural):
            return word.removesuffix(plural) + one
    return word.removesuffix("s")
