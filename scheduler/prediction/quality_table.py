"""Tables of measured quality that a family brings or that were measured here, read once while they stay as they are.

Apart from the predictor that learns from them, because that needs SciPy, which a web process does without.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from core.families import Family
from core.measured import measured_file
from core.profiles import QualityTable, read_quality


def table_of(family: Family) -> QualityTable | None:
    """The family's quality table, the levels it still has; none when it was never evaluated."""
    return _known(measured_file(family.id, "quality.csv"), family)


def training_table(family: Family) -> QualityTable | None:
    """What the predictor learns from: `quality-train.csv`; without it, the quality table."""
    return _known(measured_file(family.id, "quality-train.csv"), family) or table_of(family)


def _known(path: Path, family: Family) -> QualityTable | None:
    if not path.is_file():
        return None
    return _read(path, path.stat().st_mtime_ns, tuple(family.levels))


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int, levels: tuple[str, ...]) -> QualityTable | None:
    table = read_quality(path)
    known = tuple(level for level in table.levels if level in levels)
    return table.select(known) if known else None
