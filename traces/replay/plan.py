"""What a replay will send: each arrival of the trace with a prompt and a seed."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.errors import BadInput

MAX_SEED = 2**32


@dataclass(frozen=True)
class Planned:
    """A request to come: seconds after the start, prompt, seed."""

    at: float
    prompt: str
    seed: int


def plan(arrivals: np.ndarray, prompts: Sequence[str], rows: np.ndarray | None, seed: int) -> list[Planned]:
    """A prompt and a seed for each arrival: the trace's own prompt where it has one, else drawn.

    The same `seed` gives the same plan.
    """
    rng = np.random.default_rng(seed)
    order = rng.integers(len(prompts), size=len(arrivals)) if rows is None else rows
    seeds = rng.integers(MAX_SEED, size=len(arrivals))
    return [Planned(float(at), prompts[i], int(s)) for at, i, s in zip(arrivals, order, seeds, strict=True)]


def read_prompts(path: Path) -> list[str]:
    """Prompts of a file: the column `prompt` of a CSV or TSV with a header, else one a line."""
    text = path.read_text(encoding="utf-8-sig")
    lines = [line for line in text.splitlines() if line.strip()]
    if path.suffix in (".csv", ".tsv"):
        table = csv.DictReader(lines, delimiter="\t" if path.suffix == ".tsv" else ",")
        column = next((name for name in table.fieldnames or () if name.strip().lower() == "prompt"), None)
        if column is None:
            raise BadInput(f"{path} has no column `prompt`.", field="prompts")
        lines = [row[column] for row in table if row[column]]
    if not lines:
        raise BadInput(f"{path} holds no prompts.", field="prompts")
    return lines
