"""Tenants: made, found, changed. What a row means is in `core.tenant_tables`."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.errors import BadInput, Conflict, NotFound
from core.tenant_tables import ITSELF, NAME_CHARS, Tenant

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def create_tenant(session: Session, name: str, **about: Any) -> Tenant:
    """A new tenant; raises `BadInput` for a name that cannot be, `Conflict` for one that is taken."""
    if session.get(Tenant, check_name(name)) is not None:
        raise Conflict(f"There is a tenant {name!r} already: `argus tenants set {name}` changes it.", field="name")
    tenant = Tenant(name=name, **about)
    session.add(tenant)
    session.flush()
    session.refresh(tenant)
    return tenant


def find_tenant(session: Session, name: str) -> Tenant:
    """A tenant by its name; raises `NotFound`."""
    tenant = session.get(Tenant, name)
    if tenant is None:
        raise NotFound(f"There is no tenant {name!r}: `argus tenants create {name}` makes one.", field="tenant")
    return tenant


def list_tenants(session: Session) -> list[Tenant]:
    """All of them by name."""
    return list(session.scalars(select(Tenant).order_by(Tenant.name)))


def check_name(name: str) -> str:
    """A name that a tenant may have; raises `BadInput`."""
    if not NAME.fullmatch(name) or len(name) > NAME_CHARS:
        raise BadInput(
            f"A tenant's name is 1 to {NAME_CHARS} of a-z, 0-9, `-`, `_`, `.`, the first a letter or digit.",
            field="name",
        )
    if name == ITSELF:
        raise BadInput(f"{ITSELF!r} is what Argus calls its own work: take another name.", field="name")
    return name
