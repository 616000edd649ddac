"""The predictor in force: kept in PostgreSQL, shipped or trained from the quality table, retrained when it drifts.

::

    training table ──python -m scheduler.prediction.store──▶ predictor.npz ──▶ predictor 1 (in force)
    audits (predicted against measured) ──drifted?──▶ train on table + audits ──better on held-out audits?──▶ swap

The training table is `quality-train.csv`, many prompts with a seed each; where a family has none, the quality table
itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import numpy as np
import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core import tables
from core.families import Family, load_family
from core.measured import measured_file, measured_target
from core.profiles import QualityTable
from core.settings import settings
from scheduler.prediction.audit import Audited
from scheduler.prediction.drift import drifts
from scheduler.prediction.features import Features
from scheduler.prediction.gaussian_process import Array, Predictor
from scheduler.prediction.quality_table import training_table
from scheduler.prediction.training import better, evaluate, train

log = structlog.get_logger(__name__)
TABLE_ROWS = 1500  # rows of the table beside the audits when it is trained again: reading them takes some seconds


def shipped(family: Family) -> Predictor | None:
    """The predictor in `predictor.npz`, where it is of this version of the family and knows no other levels."""
    path = measured_file(family.id, "predictor.npz")
    try:
        predictor = Predictor.load(path.read_bytes()) if path.is_file() else None
    except ValueError as unreadable:
        log.warning("predictor not used", path=str(path), reason=str(unreadable))
        return None
    fits = predictor and predictor.of == _name(family) and set(predictor.levels) <= set(family.levels)
    return predictor if fits else None


def trained(family: Family, features: Features) -> Predictor | None:
    """One trained from the training table; none without a table."""
    table = training_table(family)
    return train(table, features(table.prompts), of=_name(family)) if table else None


def _name(family: Family) -> str:
    return f"{family.id} {family.version}"


def version_in_force(session: Session, family: Family) -> int | None:
    """The number of the predictor that routes this version of the family."""
    return session.scalar(
        select(tables.Predictor.version)
        .where(tables.Predictor.family == family.id, tables.Predictor.family_version == family.version)
        .where(tables.Predictor.in_force)
        .order_by(tables.Predictor.version.desc())
        .limit(1)
    )


def in_force(session: Session, family: Family) -> Predictor | None:
    """The predictor that routes this version of the family, or none."""
    version = version_in_force(session, family)
    try:
        return Predictor.load(session.get_one(tables.Predictor, version).content) if version is not None else None
    except ValueError as unreadable:
        log.warning("predictor not used", version=version, reason=str(unreadable))
        return None


def offsets_in_force(session: Session, family: Family) -> dict[str, float]:
    """What audits have shown to be missing from the predictions, by level (`offsets.py`)."""
    known: dict[str, float] = _figures_in_force(session, family).get("offsets", {})
    return known


def remember_offsets(session: Session, family: Family, found: Mapping[str, float]) -> None:
    """Routers add these to what the predictor in force says, from their next refresh on."""
    rounded = {level: round(value, 5) for level, value in found.items()}
    figures = {**_figures_in_force(session, family), "offsets": rounded}
    mine = update(tables.Predictor).where(tables.Predictor.version == version_in_force(session, family))
    session.execute(mine.values(figures=figures))


def _figures_in_force(session: Session, family: Family) -> dict[str, Any]:
    version = version_in_force(session, family)
    return session.scalar(select(tables.Predictor.figures).where(tables.Predictor.version == version)) or {}


def put_in_force_at(session: Session, family: Family) -> datetime | None:
    """Since when the predictor in force routes; None where there is none."""
    version = version_in_force(session, family)
    return session.scalar(select(tables.Predictor.created_at).where(tables.Predictor.version == version))


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
    """The predictor in force; the first time, the shipped one, else one trained now. None without a table."""
    known = in_force(session, family)
    if known is not None:
        return known
    predictor = shipped(family) or trained(family, features)
    if predictor is not None:
        version = put_in_force(session, family, predictor, "first")
        log.info("first predictor in force", version=version, prompts=len(predictor.features))
    return predictor


def retrain(session: Session, family: Family, features: Features, audits: Sequence[Audited]) -> str:
    """Look for drift; train again and swap if that is better on audits held out. Says what was done, for the log.

    The table's column of a level that has drifted is moved by the mean gap: a few audits could not outvote it.

    Args:
        audits: oldest first, made since the predictor in force is.
    """
    predictor, table = in_force(session, family), training_table(family)
    if predictor is None or table is None:
        return "no predictor"
    known = [audit for audit in audits if audit.level in predictor.levels]
    gaps = _gaps(known, predictor, features)
    drifted = drifts([audit.level for audit in known], gaps)
    if not drifted:
        return "no drift"
    said = ", ".join(f"{level} {gap:+.3f}" for level, gap in drifted.items())
    held, rest = known[::3], [audit for place, audit in enumerate(known) if place % 3]
    table = _moved(QualityTable(table.levels, table.prompts[:TABLE_ROWS], table.values[:TABLE_ROWS]), drifted)
    new = train(_with_audits(table, rest, predictor, features), features(_prompts(table, rest)), of=_name(family))
    if not better(new, predictor, features([audit.prompt for audit in held]), _measured(held, predictor.levels)):
        return f"drift ({said}), but training again is no better"
    figures = evaluate(new, features([audit.prompt for audit in held]), _rows(held, predictor, features))
    version = put_in_force(session, family, replace(new, figures=figures), f"drift: {said}")
    return f"drift ({said}): version {version} in force"


def _gaps(audits: Sequence[Audited], predictor: Predictor, features: Features) -> Array:
    """Measured less predicted quality (N,), by this predictor."""
    if not audits:
        return np.zeros(0)
    predicted = predictor.expect(features([audit.prompt for audit in audits]))
    measured = _measured(audits, predictor.levels)
    gaps: Array = np.nansum(measured - predicted, axis=1)
    return gaps


def _measured(audits: Sequence[Audited], levels: Sequence[str]) -> Array:
    """Measured quality (N, L); not a number at the levels that were not audited."""
    values = np.full((len(audits), len(levels)), np.nan)
    for row, audit in zip(values, audits, strict=True):
        row[levels.index(audit.level)] = audit.measured
    return values


def _moved(table: QualityTable, by: Mapping[str, float]) -> QualityTable:
    """The table with the columns of these levels moved."""
    moves = np.array([by.get(level, 0.0) for level in table.levels])
    return QualityTable(table.levels, table.prompts, np.maximum(0.0, table.values + moves))


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


def main() -> None:
    """`python -m scheduler.prediction.store`: train on the family's training table and write `predictor.npz`."""
    family = load_family(settings().family)
    predictor = trained(family, Features.of(family))
    if predictor is None:
        raise SystemExit(f"{family.id} has no quality table: run `argus evaluate` first")
    path = measured_target(family.id, "predictor.npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(predictor.dump())
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {predictor.figures}")


if __name__ == "__main__":
    main()
