"""Keys, whether they are demanded, and what tenants may take, as the database had it a moment ago: a call costs no
query for it.

What is read is believed for KEPT_S, so a key that is revoked opens nothing after that. While the database is away,
what was known stays: nothing can be revoked then, nor handed in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, or_, select, text, update

from core.database import AWAY, transaction
from core.keys import Scope
from core.settings import settings
from core.tenant_tables import ApiKey, Tenant

KEPT_S = 2.0
MOST = 10_000  # keys remembered, also those that are none
NOTED_S = 60.0  # `used_at` is that exact


@dataclass(frozen=True)
class Known:
    """A key that is good until it expires."""

    id: str
    name: str
    tenant: str
    hash: str
    scopes: frozenset[Scope]
    expires_at: datetime | None

    @property
    def is_good(self) -> bool:
        return self.expires_at is None or datetime.now(UTC) < self.expires_at


@dataclass(frozen=True)
class Bounds:
    """What a tenant may take; None: any number, or as the settings say."""

    daily_images: int | None = None
    rate: str | None = None


class Keyring:
    """What this process knows of keys."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[object, tuple[float, Any]] = {}
        self._noted: dict[str, float] = {}

    def demanded(self) -> bool:
        """Whether who calls needs a key: ARGUS_KEYS says so, or there is one, be it revoked."""
        return settings().keys or bool(self._kept(None, _any_key))

    def find(self, id: str) -> Known | None:
        """A key that was not revoked; None where there is none."""
        found: Known | None = self._kept(id, lambda: _read(id))
        return found

    def bounds(self, tenant: str) -> Bounds:
        """What a tenant may take; no bounds for one without a row."""
        found: Bounds = self._kept(("bounds", tenant), lambda: _read_bounds(tenant))
        return found

    def note_use(self, key: Known) -> None:
        """It was used: written down once a minute."""
        now = time.monotonic()
        with self._lock:
            if now < self._noted.get(key.id, -NOTED_S) + NOTED_S:
                return
            self._noted[key.id] = now
        old = or_(ApiKey.used_at.is_(None), ApiKey.used_at < func.now() - text(f"interval '{NOTED_S:g} s'"))
        with transaction() as session:
            session.execute(update(ApiKey).where(ApiKey.id == key.id, old).values(used_at=func.now()))

    def forget(self) -> None:
        """Ask anew."""
        with self._lock:
            self._known.clear()
            self._noted.clear()

    def _kept(self, name: object, read: Callable[[], Any]) -> Any:
        now = time.monotonic()
        at, value = self._known.get(name, (None, None))
        if at is not None and now < at + KEPT_S:
            return value
        try:
            value = read()
        except AWAY:
            if at is None:
                raise
        with self._lock:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[name] = now, value
        return value


def _any_key() -> bool:
    with transaction() as session:
        return session.scalar(select(ApiKey.id).limit(1)) is not None


def _read(id: str) -> Known | None:
    with transaction() as session:
        row = session.scalar(select(ApiKey).where(ApiKey.id == id, ApiKey.revoked_at.is_(None)))
    if row is None:
        return None
    scopes = frozenset(Scope(scope) for scope in row.scopes if scope in set(Scope))
    return Known(row.id, row.name, row.tenant, row.hash, scopes, row.expires_at)


def _read_bounds(tenant: str) -> Bounds:
    with transaction() as session:
        row = session.get(Tenant, tenant)
    return Bounds(row.daily_images, row.rate) if row else Bounds()


KEYRING = Keyring()
