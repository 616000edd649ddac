"""Scores of the exact level by prompt and seed, so that relative quality is measured, not predicted."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress

from core.client import ArgusClient
from traces.replay.plan import Planned
from traces.replay.send import Sent, wait


class References:
    """Scores of the exact level by prompt and seed, kept in a CSV."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.scores: dict[tuple[str, int], float] = {}
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                self.scores = {(r["prompt"], int(r["seed"])): float(r["score"]) for r in csv.DictReader(file)}

    def complete(self, client: ArgusClient, sent: Sequence[Sent], reference: str, bar: Progress) -> None:
        """Have the exact image drawn of every served pair that has none yet, as batch work, and keep its score."""
        for one in sent:
            if one.done and one.row["level"] == reference and one.row["quality"]["score"] is not None:
                self.scores[one.pair] = one.row["quality"]["score"]
        missing = sorted({one.pair for one in sent if one.done} - set(self.scores))
        if missing:
            prompts = [{"prompt": prompt, "seed": seed} for prompt, seed in missing]
            wish = {"prompts": prompts, "level": reference, "service_class": "batch", "title": "references of a replay"}
            answer = client.submit(wish)
            drawn = [
                Sent(Planned(0.0, *pair), request_id=line["id"])
                for pair, line in zip(missing, answer["requests"], strict=True)
            ]
            wait(client, drawn, 86_400.0, bar)
            self.scores.update({one.pair: one.row["quality"]["score"] for one in drawn if one.done})
        self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("w", newline="", encoding="utf-8") as file:
            out = csv.writer(file)
            out.writerow(["prompt", "seed", "score"])
            out.writerows([prompt, seed, f"{score:.6f}"] for (prompt, seed), score in sorted(self.scores.items()))

    def relative(self, one: Sent) -> float | None:
        """Measured quality of an image relative to `exact`; None where the reference scored nothing."""
        reference = self.scores.get(one.pair)
        return one.row["quality"]["score"] / reference if reference else None
