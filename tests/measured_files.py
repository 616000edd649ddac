"""Profiles and quality tables as files, for tests that read them."""

from __future__ import annotations

import csv
from pathlib import Path

from core.profiles import Profile, QualityTable


def write_profile(profile: Profile, path: str | Path) -> None:
    """Write as the JSON that `read_profile` reads; defaults are left out."""
    text = profile.model_dump_json(indent=1, exclude_defaults=True)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text + "\n", encoding="utf-8")


def write_quality(table: QualityTable, path: str | Path) -> None:
    """Write as the CSV that `read_quality` reads, four decimals."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["prompt", *table.levels])
        for prompt, row in zip(table.prompts, table.values, strict=True):
            out.writerow([prompt, *(f"{v:.4f}" for v in row)])
