"""What the model card is filled in with."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from families.embedded import card
from families.embedded.recipe import words


@dataclass
class Level:
    scores: np.ndarray
    pictures: np.ndarray
    seconds: float


@dataclass
class Drawn:
    levels: dict[str, Level]
    by_cost: list[str] = field(default_factory=lambda: ["exact", "quick"])

    def relative(self, level_id: str) -> np.ndarray:
        return self.levels[level_id].scores.mean(1) / self.levels["exact"].scores.mean(1)


def drawn(quick: float) -> Drawn:
    pictures = np.zeros((2, 32, 32, 3), np.uint8)
    levels = {
        "exact": Level(np.full((2, 2), 2.0), pictures, 0.8),
        "quick": Level(np.full((2, 2), quick), pictures, 0.1),
    }
    return Drawn(levels)


def test_levels_that_tie_are_not_strictly_ordered() -> None:
    figures = {quick: dict(row[::2] for row in card._of_levels(drawn(quick), 0.8)) for quick in (1.9, 2.0)}
    assert [figures[quick]["mean relative quality strictly ordered by cost"] for quick in (1.9, 2.0)] == ["yes", "no"]
    assert figures[1.9]["cheapest level (`quick`): times as fast as `exact`"] == "8.0"


def test_grounds_and_counts_are_looked_for_on_plain_grounds_only() -> None:
    judged = card.scenes(40)
    plain = [scene for scene in judged if words.GROUNDS[scene.plan.ground].plain]
    pictures = np.stack([np.full((32, 32, 3), words.COLOURS.get(words.GROUNDS[s.plan.ground].name, (0, 0, 0)), np.uint8)
                         for s in judged])  # fmt: skip
    (_, _, grounds), (_, _, counts) = card._by_pixels(pictures, judged)
    assert plain
    assert (grounds, counts) == ("100%", "0%")


def test_what_fills_the_cache_or_trains_is_never_judged() -> None:
    judged = card.prompts(20, 10)
    assert len(set(judged)) == 30
    assert not set(card.beyond(100)) & set(card.prompts(20, 0))
    assert card.varied(card.scenes(40), 6) == sorted(card.varied(card.scenes(40), 6))
