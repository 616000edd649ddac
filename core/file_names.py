"""What a downloaded image is called: its place in the job, the client's own id or words of the prompt, its seed."""

from __future__ import annotations

import re

WORDS_CHARS = 60


def image_file_name(position: int, custom_id: str | None, prompt: str, seed: int | str) -> str:
    """`000012-sku-17-42.png`: sorted as the job is, and a name that every file system takes."""
    words = re.sub(r"\W+", "-", (custom_id or prompt).lower()).strip("-")[:WORDS_CHARS].strip("-")
    return f"{position:06d}-{words or 'image'}-{seed}.png"
