"""What PostgreSQL keeps of tenants: who they are, what they may take, and the keys that speak for them.

::

    tenant 1─n api_key     tenant 1─n tenant_day     tenant 1─n job, request, stored_file, batch (`core.tables`, …)

A tenant is known by its name, which stays. Where nobody demands keys, all work belongs to `DEFAULT`. A tenant without
a row has weight 1 and no bounds.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import ForeignKey, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from core.states import Base

DEFAULT = "default"
ITSELF = "argus"  # who draws a second time or removes by age: nobody's key is of that name
NAME_CHARS = 40


def tenant_column() -> Any:
    """Whose a row is; a version that knows no tenants writes the default."""
    return mapped_column(String(NAME_CHARS), default=DEFAULT, server_default=text(f"'{DEFAULT}'"))


class Tenant(Base):
    """Who owns jobs: a team, an application. Its weight is its share of the devices while others want them too."""

    __tablename__ = "tenant"

    name: Mapped[str] = mapped_column(String(NAME_CHARS), primary_key=True)
    weight: Mapped[float] = mapped_column(default=1.0, server_default=text("1"))
    daily_images: Mapped[int | None]  # accepted between two midnights UTC; none: any number
    rate: Mapped[str | None]  # submissions, as ARGUS_RATE_LIMIT; none: that
    retention_days: Mapped[float | None]  # after which ended jobs are removed; none: ARGUS_RETENTION_DAYS
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ApiKey(Base):
    """A key of a tenant: `argus_` + id + `_` + secret. The secret is known to its holder alone."""

    __tablename__ = "api_key"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    tenant: Mapped[str] = mapped_column(ForeignKey("tenant.name"), index=True)
    name: Mapped[str]  # for people
    hash: Mapped[str] = mapped_column(String(64))  # of id and secret, as `core.keys` makes it
    scopes: Mapped[list[str]]  # as in `core.keys`
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]  # last, to the minute


class TenantDay(Base):
    """How many images of a tenant were accepted on a day (UTC); for its quota."""

    __tablename__ = "tenant_day"

    tenant: Mapped[str] = mapped_column(String(NAME_CHARS), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    images: Mapped[int]
