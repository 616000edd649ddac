"""What in a prompt is read otherwise than its writer may think, in sentences."""

from __future__ import annotations

import re

from core.emphasis import Spans, read_emphasis

MOST_LISTED = 10
WEIGHTS = re.compile(r"\([^()]*:\s*[-+]?\d*\.?\d+\s*\)")
NETWORKS = re.compile(r"<(?:lora|lyco|hypernet):[^<>]*>", re.IGNORECASE)
READ_AS_WRITTEN = (
    (WEIGHTS, "Weights such as (a:1.2) change nothing here: they are read as they are written."),
    (NETWORKS, "Tags such as <lora:name:1> load nothing here: they are read as they are written."),
)


def notes(prompt: str, negative_prompt: str, emphasis: str | None = None) -> list[str]:
    """Sentences about both prompts; `emphasis` are the weights of their words that are drawn."""
    both, spans = f"{prompt}\n{negative_prompt}", read_emphasis(emphasis)
    found = [sentence for pattern, sentence in READ_AS_WRITTEN if pattern.search(both)]
    if not emphasis:
        return found
    words = [*_listed(prompt, spans.prompt), *_listed(negative_prompt, spans.negative_prompt)]
    more = f" and {len(words) - MOST_LISTED} more" if len(words) > MOST_LISTED else ""
    return [f"Drawn with weights: {', '.join(words[:MOST_LISTED])}{more}.", *found]


def _listed(text: str, spans: Spans) -> list[str]:
    return [f"({text[start:end]}:{weight:g})" for start, end, weight in spans]
