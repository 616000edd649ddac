"""What the report views say (docs/reports.md), for the page and its files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.access import caller
from core.errors import MissingScope, NotFound

HOUR = 3600.0


@dataclass(frozen=True)
class Kind:
    """A report: the view that it reads, its order and most rows, and whether its rows are of one tenant each."""

    view: str
    title: str
    order: str
    most: int
    by_tenant: bool = False


KINDS = {
    "level": Kind("report_level", "Level", "images DESC NULLS LAST, level", 200),
    "model": Kind("report_model", "Model", "images DESC NULLS LAST, model", 200),
    "hour": Kind("report_hour", "Hour", "hour DESC", 24 * 7),
    "tenant": Kind("report_tenant", "Tenant", "images DESC NULLS LAST, tenant", 500, by_tenant=True),
    "job": Kind("report_job", "Job", "created_at DESC", 200, by_tenant=True),
}


@dataclass(frozen=True)
class Saved:
    """Device hours that images took, and those that approximation saved against `exact`; none where not known."""

    used_h: float
    saved_h: float | None

    @property
    def share(self) -> float | None:
        """Of what `exact` would have taken."""
        whole = self.used_h + (self.saved_h or 0.0)
        return None if self.saved_h is None or whole <= 0 else self.saved_h / whole


def kinds() -> dict[str, Kind]:
    """The reports that the caller may read: who sees all, all; others those whose rows say whose they are."""
    return {name: kind for name, kind in KINDS.items() if kind.by_tenant or caller().sees_all}


def read_report(session: Session, name: str) -> list[Mapping[str, Any]]:
    """Rows of a report, as far as the caller may see them.

    Raises:
        NotFound: there is no such report.
        MissingScope: it is about all tenants.
    """
    kind = KINDS.get(name)
    if kind is None:
        raise NotFound(f"There is no report by {name}; there are {', '.join(KINDS)}.", field="by")
    if name not in kinds():
        raise MissingScope(f"The report by {name} is about all tenants: it needs the scope admin.")
    whose = "WHERE tenant = :tenant" if kind.by_tenant and not caller().sees_all else ""
    query = text(f"SELECT * FROM {kind.view} {whose} ORDER BY {kind.order} LIMIT {kind.most}")
    return [dict(row) for row in session.execute(query, {"tenant": caller().tenant} if whose else {}).mappings()]


def saved(rows: Sequence[Mapping[str, Any]]) -> Saved:
    """Over the rows of a report that have both figures."""
    known = [row["device_saved_s"] for row in rows if row.get("device_saved_s") is not None]
    used = sum(row.get("device_s") or 0.0 for row in rows)
    return Saved(used / HOUR, sum(known) / HOUR if known else None)
