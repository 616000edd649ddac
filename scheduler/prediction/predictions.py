"""Predicted relative quality of requests at every level, with what the latent cache can offer each."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy.orm import Session

from core.families import Family
from core.settings import settings
from core.tables import Request
from scheduler.observation.queries import cache_is_away
from scheduler.prediction.cache_lookup import cache_offers
from scheduler.prediction.features import Features
from scheduler.prediction.gaussian_process import Predictor
from scheduler.prediction.quality_table import table_of
from scheduler.prediction.store import in_force, offsets_in_force, version_in_force

REFRESH_S = 30.0  # how often a newer predictor is looked for
CACHE_S = 5.0  # and whether the latent cache answers
PREDICTED = 5_000  # prompts whose predictions are kept, a hundred bytes each: repeats are frequent
FEATURES = 512  # prompts whose features are kept, as many as the text encoder keeps: a few ask for them again


class QualityPredictions:
    """Quality of prompts by the predictor in force; level means stand in without one."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.features, self.sentences = Features.of(family, FEATURES), Features(family=family, remembered=FEATURES)
        self._predictor: tuple[Predictor | None, dict[str, np.ndarray]] = (None, {})  # and its answers by prompt (L,)
        self._version: int | None = None
        self._offsets: Mapping[str, float] = {}
        self._refreshed, self._asked = -REFRESH_S, -CACHE_S
        self._cache_away = False
        self._readable = threading.Event()  # the encoders that read prompts are in memory, or may be loaded on the way
        self._readable.set()

    def warm_up(self) -> None:
        """Load the encoders in a thread: requests that are routed meanwhile get level means, and do not wait for it."""
        self._readable.clear()
        threading.Thread(target=self._load, name="predictor", daemon=True).start()

    def can_read(self) -> bool:
        """Whether the encoders that read prompts are in memory."""
        return self._readable.is_set()

    def _load(self) -> None:
        try:
            self.features(["warm-up"])
            if any(level.strategy == "ac" for level in self.family.levels.values()):
                self.sentences(["warm-up"])
        finally:
            self._readable.set()

    def refresh(self, session: Session) -> None:
        """Take up a newer predictor, when it is time to look for one, and whether the latent cache answers."""
        if time.monotonic() - self._asked >= CACHE_S:
            self._cache_away, self._asked = cache_is_away(session, self.family), time.monotonic()
        if time.monotonic() - self._refreshed >= REFRESH_S:
            newest = version_in_force(session, self.family)
            if newest != self._version:
                self._predictor, self._version = (in_force(session, self.family), {}), newest
            self._offsets = offsets_in_force(session, self.family)
            self._refreshed = time.monotonic()

    def predict(self, rows: Sequence[Request], means: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Quality (N, L), columns in the order of `means`, and cosine to the nearest cached prompt (N).

        The reference level has 1. A level that starts from a cached latent has 0 for a prompt without a neighbour near
        enough, and for any while the cache is away: it would run in full, and cost what `exact` costs. So have one that
        cannot draw with a request's LoRAs (what LoRAs do to quality at the others, nobody has measured), and a `cq`
        level for a request of other steps or another size than the usual ones, which it is calibrated for.

        Args:
            means: mean quality by level, where the predictor says nothing of a level.
        """
        prompts = [row.prompt for row in rows]
        table = table_of(self.family)
        means = {**means, **{level: mean for level, mean in (table.means if table else {}).items() if level in means}}
        means = {level: min(1.0, mean) for level, mean in means.items()}  # above it is chance, not better than `exact`
        predictor, known = self._predictor if self._readable.is_set() else (None, {})
        columns = (
            dict(zip(predictor.levels, _predicted(predictor, known, prompts, self.features).T, strict=True))
            if predictor
            else {}
        )
        quality = np.column_stack(
            [
                columns.get(level, np.full(len(prompts), mean)) + self._offsets.get(level, 0.0)
                for level, mean in means.items()
            ]
        )
        quality[:, [level == self.family.reference for level in means]] = 1.0
        for i, row in enumerate(rows):
            if row.loras:
                quality[i, [not self.family.draws(level, row.loras) for level in means]] = 0.0
        unplanned = [i for i, row in enumerate(rows) if not self._usual(row)]
        quality[np.ix_(unplanned, [self._strategy(level) == "cq" for level in means])] = 0.0
        return self._without_misses(rows, quality, list(means))

    def held_to_floors(self, rows: Sequence[Request], quality: np.ndarray, levels: Sequence[str]) -> np.ndarray:
        """Quality (N, L) as decisions about levels take it: what may well miss a request's floor does not reach it.

        Of a request with a floor, a level whose mean less `floor_z` standard deviations is under it has that lower
        bound in place of the mean. A level that the predictor does not know has no deviation and stays as it is.
        """
        floors = np.array([row.min_quality or 0.0 for row in rows])
        predictor = self._predictor[0] if self._readable.is_set() else None
        asked = np.flatnonzero(floors > 0).tolist()
        if predictor is None or not asked:
            return quality
        known = [levels.index(level) for level in predictor.levels if level in levels]
        spread = np.zeros((len(asked), len(levels)))
        of_known = predictor.spread(self.features([rows[i].prompt for i in asked]))
        spread[:, known] = of_known[:, [predictor.levels.index(levels[i]) for i in known]]
        found = quality.copy()
        found[asked] = lower_bounds(quality[asked], spread, floors[asked], settings().floor_z)
        return found

    def _without_misses(
        self, rows: Sequence[Request], quality: np.ndarray, levels: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        cached = [(i, self.family.levels[level]) for i, level in enumerate(levels) if self._is_cached(level)]
        asked = [level for _, level in cached] if self._readable.is_set() and not self._cache_away else []
        similarity, hit = cache_offers(self.family, rows, asked, self.sentences)
        if not asked:
            quality[:, [i for i, _ in cached]] = 0.0
            return quality, similarity.max(axis=1, initial=0.0)
        sourced = np.array([row.source_id is not None for row in rows], dtype=bool)  # such look up nothing
        for j, (i, _) in enumerate(cached):
            quality[~hit[:, j] | sourced, i] = 0.0
        return quality, similarity.max(axis=1, initial=0.0)

    def _is_cached(self, level: str) -> bool:
        return self._strategy(level) == "ac"

    def _strategy(self, level: str) -> str | None:
        return self.family.levels[level].strategy if level in self.family.levels else None

    def _usual(self, row: Request) -> bool:
        usual = self.family.defaults
        return (row.steps, row.width, row.height) == (usual.steps, usual.width, usual.height)


def lower_bounds(quality: np.ndarray, spread: np.ndarray, floors: np.ndarray, z: float) -> np.ndarray:
    """Mean quality (N, L); mean − z·std in its place where that is under the prompt's floor (N,)."""
    bounds = quality - z * spread
    found: np.ndarray = np.where(bounds >= floors[:, None], quality, np.maximum(0.0, bounds))
    return found


def _predicted(
    predictor: Predictor, known: dict[str, np.ndarray], prompts: Sequence[str], features: Features
) -> np.ndarray:
    """Predicted means (N, L); a prompt that came before is not predicted again."""
    if missing := [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]:
        known.update(zip(missing, predictor.expect(features(missing)), strict=True))
    rows = np.stack([known[prompt] for prompt in prompts])
    if len(known) > PREDICTED:
        known.clear()
    return rows
