"""Tokenizers of the real classes that know letters only, for pipelines with random weights: nothing is downloaded."""

from __future__ import annotations

import string

from transformers import CLIPTokenizer, T5Tokenizer


def clip_tokenizer() -> CLIPTokenizer:
    """Spells every word: one token a character, 77 at most."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def t5_tokenizer() -> T5Tokenizer:
    """The same for T5: one token a character."""
    pieces = ["<pad>", "</s>", "<unk>", "▁", *string.ascii_letters, *string.digits, *string.punctuation]
    return T5Tokenizer(vocab=[(piece, 0.0) for piece in dict.fromkeys(pieces)], extra_ids=0)
