"""The predictor in force: kept in PostgreSQL, trained first from the quality table, retrained when it drifts.

::

    quality table ──train──▶ predictor 1 (in force)
    audits (predicted against measured) ──drifted?──▶ train on table + audits ──better on held-out audits?──▶ swap
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core import tables
from core.families import Family
from core.profiles import QualityTable, read_quality
from core.settings import ROOT
from scheduler.audit import Audited
from scheduler.predict import Array, Features, Prediction, Predictor, better, drifted, judge, train

log = structlog.get_logger(__name__)


def quality_path(family: Family) -> Path:
    """Where a family's quality table lies."""
    return ROOT / "profiles" / family.id / "quality.csv"


def table_of(family: Family) -> QualityTable | None:
    """The family's quality table, the levels it still has; none when it was never evaluated."""
    path = quality_path(family)
    if not path.is_file():
        return None
    table = _read(path, path.stat().st_mtime_ns)
    known = tuple(level for level in table.levels if level in family.levels)
    return table.select(known) if known else None


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int) -> QualityTable:
    return read_quality(path)


def in_force(session: Session, family: Family) -> Predictor | None:
    """The predictor that routes this version of the family, or none."""
    query = (
        select(tables.Predictor)
        .where(tables.Predictor.family == family.id, tables.Predictor.family_version == family.version)
        .where(tables.Predictor.in_force)
        .order_by(tables.Predictor.version.desc())
    )
    row = session.scalars(query).first()
    try:
        return Predictor.load(row.content) if row else None
    except ValueError as unreadable:
        log.warning("predictor not used", version=row.version if row else None, reason=str(unreadable))
        return None


def put_in_force(session: Session, family: Family, predictor: Predictor, reason: str) -> int:
    """Store a predictor and let it route from now on; returns its version."""
    old = update(tables.Predictor).where(tables.Predictor.family == family.id).values(in_force=False)
    session.execute(old)
    row = tables.Predictor(
        family=family.id,
        family_version=family.version,
        in_force=True,
        reason=reason,
        figures=asdict(predictor.figures) if predictor.figures else {},
        content=predictor.dump(),
    )
    session.add(row)
    session.flush()
    return row.version


def first(session: Session, family: Family, features: Features) -> Predictor | None:
    """The predictor in force; the first time, one trained from the quality table. None without a table."""
    known = in_force(session, family)
    if known is not None:
        return known
    table = table_of(family)
    if table is None:
        return None
    predictor = train(table, features(table.prompts))
    version = put_in_force(session, family, predictor, "first")
    log.info("predictor trained", version=version, **(asdict(predictor.figures) if predictor.figures else {}))
    return predictor


def predict(
    predictor: Predictor | None, means: dict[str, float], prompts: Sequence[str], features: Features
) -> Prediction:
    """Relative quality of the prompts at every level; the level means (`means`) stand in without a predictor."""
    if predictor is not None:
        return predictor.predict(features(prompts))
    row = np.array(list(means.values()))
    mean = np.tile(row, (len(prompts), 1))
    return Prediction(tuple(means), mean, np.full_like(mean, 0.1))


def retrain(session: Session, family: Family, features: Features, audits: Sequence[Audited]) -> str:
    """Look for drift; train again and swap if that is better on audits held out. Says what was done, for the log."""
    predictor, table = in_force(session, family), table_of(family)
    if predictor is None or table is None:
        return "no predictor"
    known = [audit for audit in audits if audit.predicted is not None and audit.level in predictor.levels]
    gaps = np.array([(audit.predicted, audit.measured) for audit in known], dtype=float).reshape(-1, 2)
    if not drifted(gaps[:, 0], gaps[:, 1]):
        return "no drift"
    held, rest = known[::3], [audit for place, audit in enumerate(known) if place % 3]
    new = train(_with_audits(table, rest, predictor, features), features(_prompts(table, rest)))
    unseen = _rows(held, predictor, features)
    if not better(new, predictor, features([audit.prompt for audit in held]), unseen):
        return "drift, but training again is no better"
    new = replace(new, figures=judge(new, features([audit.prompt for audit in held]), unseen))
    return f"drift: version {put_in_force(session, family, new, 'drift')} in force"


def _prompts(table: QualityTable, audits: Sequence[Audited]) -> list[str]:
    return [*table.prompts, *(audit.prompt for audit in audits)]


def _with_audits(table: QualityTable, audits: Sequence[Audited], old: Predictor, features: Features) -> QualityTable:
    """The table with a row an audit."""
    values = np.vstack([table.select(old.levels).values, _rows(audits, old, features)])
    return QualityTable(old.levels, tuple(_prompts(table, audits)), values)


def _rows(audits: Sequence[Audited], old: Predictor, features: Features) -> Array:
    """Rows (N, L): the measured quality at the audited level, what was believed so far at the others."""
    rows = old.predict(features([audit.prompt for audit in audits])).mean
    for row, audit in zip(rows, audits, strict=True):
        row[old.levels.index(audit.level)] = audit.measured
    return rows
