"""Predicted relative quality of requests at every level, with what the latent cache can offer each."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy.orm import Session

from core.families import Family
from core.tables import Request
from scheduler.prediction.cache_lookup import cache_offers
from scheduler.prediction.features import REMEMBERED, Features
from scheduler.prediction.gaussian_process import Predictor
from scheduler.prediction.store import in_force, table_of, version_in_force

REFRESH_S = 30.0  # how often a newer predictor is looked for


class QualityPredictions:
    """Quality of prompts by the predictor in force; level means stand in without one."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.features, self.sentences = Features.of(family), Features()
        self._predictor: tuple[Predictor | None, dict[str, np.ndarray]] = (None, {})  # and its answers by prompt (L,)
        self._version: int | None = None
        self._refreshed = -REFRESH_S
        self._readable = threading.Event()  # the encoders that read prompts are in memory, or may be loaded on the way
        self._readable.set()

    def warm_up(self) -> None:
        """Load the encoders in a thread: requests that are routed meanwhile get level means, and do not wait for it."""
        self._readable.clear()
        threading.Thread(target=self._load, name="predictor", daemon=True).start()

    def _load(self) -> None:
        try:
            self.features(["warm-up"])
            if any(level.strategy == "ac" for level in self.family.levels.values()):
                self.sentences(["warm-up"])
        finally:
            self._readable.set()

    def refresh(self, session: Session) -> None:
        """Take up a newer predictor, when it is time to look for one."""
        if time.monotonic() - self._refreshed >= REFRESH_S:
            newest = version_in_force(session, self.family)
            if newest != self._version:
                self._predictor, self._version = (in_force(session, self.family), {}), newest
            self._refreshed = time.monotonic()

    def predict(self, rows: Sequence[Request], means: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Quality (N, L), columns in the order of `means`, and cosine to the nearest cached prompt (N).

        The reference level has 1. A level that starts from a cached latent has 0 for a prompt without a neighbour near
        enough: it would run in full, and cost what `exact` costs.

        Args:
            means: mean quality by level, where the predictor says nothing of a level.
        """
        prompts = [row.prompt for row in rows]
        table = table_of(self.family)
        means = {**means, **{level: mean for level, mean in (table.means if table else {}).items() if level in means}}
        predictor, known = self._predictor if self._readable.is_set() else (None, {})
        columns = (
            dict(zip(predictor.levels, _predicted(predictor, known, prompts, self.features).T, strict=True))
            if predictor
            else {}
        )
        columns[self.family.reference] = np.ones(len(prompts))
        quality = np.column_stack([columns.get(level, np.full(len(prompts), mean)) for level, mean in means.items()])
        return self._without_misses(rows, quality, list(means))

    def _without_misses(
        self, rows: Sequence[Request], quality: np.ndarray, levels: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        cached = [(i, self.family.levels[level]) for i, level in enumerate(levels) if self._is_cached(level)]
        asked = [level for _, level in cached] if self._readable.is_set() else []
        similarity, hit = cache_offers(self.family, rows, asked, self.sentences)
        for j, (i, _) in enumerate(cached):
            quality[~hit[:, j] if asked else slice(None), i] = 0.0
        return quality, similarity.max(axis=1, initial=0.0)

    def _is_cached(self, level: str) -> bool:
        return level in self.family.levels and self.family.levels[level].strategy == "ac"


def _predicted(
    predictor: Predictor, known: dict[str, np.ndarray], prompts: Sequence[str], features: Features
) -> np.ndarray:
    """Predicted means (N, L); a prompt that came before is not predicted again."""
    if missing := [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]:
        known.update(zip(missing, predictor.expect(features(missing)), strict=True))
    rows = np.stack([known[prompt] for prompt in prompts])
    if len(known) > REMEMBERED:
        known.clear()
    return rows
