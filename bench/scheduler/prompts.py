"""Prompts for the published profile: another family's measured losses, rescaled, and a predictor's answers for them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from core.families import load_family
from core.profiles import Profile, QualityTable, read_quality
from core.settings import ROOT

EMBEDDED = ROOT / "profiles" / "embedded" / "quality.csv"
TRAINING = EMBEDDED.with_name("quality-train.csv")  # other prompts of the same make, what the predictor learns from
FOLDS = 10  # where there is no such table
ROUNDS = 20  # of scaling and ordering


def rescaled(table: QualityTable, profile: Profile, like: QualityTable | None = None) -> QualityTable:
    """Another family's per-prompt losses under a profile's levels: matched by rank of mean loss, scaled to its means.

    The profile's levels are a ladder: who skips more steps loses no less. So each prompt's losses are put in order
    (rearranged; Chernozhukov et al. 2010, doi:10.3982/ECTA7880) and scaled again, in turn, until both hold. Levels that
    lose less than 1 % on average are mostly the noise of single seeds, and are left out; a prompt that scored above
    `exact` counts as having lost nothing. What is matched, and how scaled, is read from the table `like`, if given.
    """
    seen = like or table
    both = [level for level in seen.levels if level in table.levels]
    means = {level: lost(seen, level).mean() for level in both if 1 - seen.means[level] > 0.01}
    sources = sorted(means, key=lambda level: means[level])
    targets = sorted((lv for lv in profile.levels if lv.quality < 1), key=lambda lv: -lv.quality)
    at = np.linspace(0, len(sources) - 1, len(targets)).round().astype(int)
    known, losses = (np.column_stack([lost(of, sources[i]) for i in at]) for of in (seen, table))
    for _ in range(ROUNDS):
        factors = [factor_for(column, 1 - level.quality) for column, level in zip(known.T, targets, strict=True)]
        known, losses = (np.sort(np.minimum(1.0, factors * of), axis=1) for of in (known, losses))
    columns = {level.id: np.zeros(len(table)) for level in profile.levels}
    columns.update(zip((level.id for level in targets), losses.T, strict=True))
    return QualityTable(profile.ids, table.prompts, 1 - np.column_stack([columns[level] for level in profile.ids]))


def lost(table: QualityTable, level: str) -> np.ndarray:
    """Losses of all prompts at a level (N,), none negative."""
    loss: np.ndarray = np.maximum(0.0, 1 - table.column(level))
    return loss


def factor_for(loss: np.ndarray, mean: float) -> float:
    """What the losses are multiplied by to have this mean, none above 1."""
    factor = 1.0
    for _ in range(20):
        factor *= mean / np.minimum(1.0, factor * loss).mean()
    return float(factor)


def told(learnt: QualityTable, prompts: tuple[str, ...], seed: int) -> QualityTable:
    """What a predictor trained on one table says of other prompts."""
    from scheduler.prediction.training import train

    values = train(learnt, features_of(learnt.prompts), seed=seed).predict(features_of(prompts)).mean
    values[:, learnt.levels.index("exact")] = 1.0
    return QualityTable(learnt.levels, prompts, values)


def learnt_from() -> str:
    """Which prompts the predictor learnt from, in words."""
    if TRAINING.exists():
        return f"trained on {len(read_quality(TRAINING))} other prompts with one seed each"
    return f"on prompts it was not trained on ({FOLDS} folds)"


def out_of_fold(table: QualityTable, seed: int) -> QualityTable:
    """Predictions for every prompt by a predictor trained on the folds that do not hold it."""
    from scheduler.prediction.training import train

    features = features_of(table.prompts)
    fold = np.random.default_rng(seed).permutation(len(table)) % FOLDS
    values = np.empty_like(table.values)
    for k in range(FOLDS):
        rest = np.flatnonzero(fold != k)
        known = QualityTable(table.levels, tuple(table.prompts[i] for i in rest), table.values[rest])
        values[fold == k] = train(known, features[rest], seed=seed).predict(features[fold == k]).mean
    values[:, table.levels.index("exact")] = 1.0
    return QualityTable(table.levels, table.prompts, values)


@lru_cache(maxsize=2)
def features_of(prompts: tuple[str, ...]) -> np.ndarray:
    from scheduler.prediction.features import Features

    return Features.of(load_family("embedded"))(prompts)
