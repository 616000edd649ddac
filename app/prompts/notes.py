"""What in a prompt is read otherwise than its writer may think, in sentences."""

from __future__ import annotations

import re

WEIGHTS = re.compile(r"\([^()]*:\s*[-+]?\d*\.?\d+\s*\)")
NETWORKS = re.compile(r"<(?:lora|lyco|hypernet):[^<>]*>", re.IGNORECASE)
READ_AS_WRITTEN = (
    (WEIGHTS, "Weights such as (a:1.2) change nothing here: they are read as they are written."),
    (NETWORKS, "Tags such as <lora:name:1> load nothing here: they are read as they are written."),
)


def notes(prompt: str, negative_prompt: str) -> list[str]:
    """Sentences about both prompts."""
    both = f"{prompt}\n{negative_prompt}"
    return [sentence for pattern, sentence in READ_AS_WRITTEN if pattern.search(both)]
