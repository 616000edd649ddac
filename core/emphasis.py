"""Weights of words: which characters of a prompt are drawn more or less strongly than the rest.

A row has its texts plain, and the weights beside them: `2-5:1.2,9-12:0.8/0-4:1.3` are characters 2 to 5 and 9 to 12 of
the prompt, and 0 to 4 of the negative prompt. So whoever judges a prompt (predictor, cache, scorer) reads words alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

DIGITS = 4  # of a weight, after the point
#: Adapters of `workers/pipelines` whose text encoders take weights of words.
PIPELINES = ("stable-diffusion", "stable-diffusion-xl")
BRACKETS = re.compile(r"[()\[\]\\]")


class Span(NamedTuple):
    """Characters from `start` to before `end`, and their weight."""

    start: int
    end: int
    weight: float


Spans = tuple[Span, ...]


class Emphasis(NamedTuple):
    """The weights of both texts of a request, in the order of the words; all others weigh 1."""

    prompt: Spans = ()
    negative_prompt: Spans = ()


PLAIN = Emphasis()


def weights_read_by(pipelines: Mapping[str, str], kind: str) -> str:
    """`kind`, where all models of a family (by id, with their pipelines) read weights of words; else `ValueError`."""
    if unable := next((model for model, pipeline in pipelines.items() if pipeline not in PIPELINES), None):
        raise ValueError(
            f"model {unable!r} has the pipeline {pipelines[unable]!r}; weights of words are read by "
            f"{', '.join(PIPELINES)}"
        )
    return kind


def read_emphasis(text: str | None) -> Emphasis:
    """That of a row."""
    prompt, _, negative = (text or "").partition("/")
    return Emphasis(_spans(prompt), _spans(negative))


def written_emphasis(emphasis: Emphasis) -> str | None:
    """As a row has it; none where all words weigh the same."""
    texts = [",".join(f"{start}-{end}:{weight:g}" for start, end, weight in spans) for spans in emphasis]
    return "/".join(texts).rstrip("/") or None


def fragments(text: str, spans: Sequence[Span]) -> list[tuple[str, float]]:
    """The text in parts of one weight each; none is white space alone, which is no token."""
    parts, at = list[tuple[str, float]](), 0
    for start, end, weight in spans:
        parts += [(text[at:start], 1.0), (text[start:end], weight)]
        at = end
    return [(part, weight) for part, weight in (*parts, (text[at:], 1.0)) if part.strip()]


def weighted(text: str, spans: Sequence[Span]) -> str:
    """The text as AUTOMATIC1111's web UI writes it: `a (red:1.2) fox`, its own brackets with a backslash."""
    if not spans:
        return text
    parts, at = list[str](), 0
    for start, end, weight in spans:
        parts += [_escaped(text[at:start]), f"({_escaped(text[start:end])}:{weight:g})"]
        at = end
    return "".join((*parts, _escaped(text[at:])))


def _spans(text: str) -> Spans:
    found = (re.split("[-:]", part) for part in text.split(",") if part)
    return tuple(Span(int(start), int(end), float(weight)) for start, end, weight in found)


def _escaped(text: str) -> str:
    return BRACKETS.sub(lambda found: f"\\{found[0]}", text)
