"""Keys of tenants: how they are made, what of them is kept, how one is known again.

A key is `argus_<id>_<secret>`: the id finds the row, the secret is 256 random bits. Kept is a hash of both, so that who
reads the database has no key. A slow hash would add nothing: nobody guesses 256 bits.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.errors import BadInput, NotFound
from core.tenant_tables import ApiKey
from core.tenants import find_tenant

PREFIX = "argus"
ID_LETTERS, ID_CHARS = "abcdefghijkmnpqrstuvwxyz23456789", 10  # none that look like others
SECRET_BYTES = 32
LONGEST = 200  # characters; what is longer is no key
NAME_CHARS = 80


class Scope(enum.StrEnum):
    """What a key may do."""

    SUBMIT = "submit"  # hand in, cancel and remove work of its tenant
    READ = "read"  # jobs, images and reports of its tenant; the plan
    METRICS = "metrics"  # /metrics, of all tenants
    ADMIN = "admin"  # all of the above, for all tenants


USUAL = (Scope.SUBMIT, Scope.READ)


@dataclass(frozen=True)
class Written:
    """A key as its holder sends it."""

    id: str
    secret: str

    @property
    def hash(self) -> str:
        return hashlib.sha256(f"{self.id}:{self.secret}".encode()).hexdigest()

    def fits(self, hash: str) -> bool:
        """Whether it is the key of which this is the hash; takes the same time whether it is or not."""
        return hmac.compare_digest(self.hash, hash)

    def __str__(self) -> str:
        return f"{PREFIX}_{self.id}_{self.secret}"


def read_key(text: str) -> Written | None:
    """A key, of what was sent; none where it is no key at all."""
    text = text.strip()
    prefix, _, rest = text.partition("_")
    id, _, secret = rest.partition("_")
    plain = len(text) <= LONGEST and text.isascii() and text.isprintable()
    whole = plain and prefix == PREFIX and id and secret
    return Written(id, secret) if whole else None


def create_key(
    session: Session, tenant: str, name: str, scopes: tuple[Scope, ...] = USUAL, expires_at: datetime | None = None
) -> tuple[ApiKey, Written]:
    """A new key of a tenant, and what its holder sends: nobody can say that again. Raises `NotFound`."""
    find_tenant(session, tenant)
    written = Written("".join(secrets.choice(ID_LETTERS) for _ in range(ID_CHARS)), secrets.token_urlsafe(SECRET_BYTES))
    about = {"tenant": tenant, "name": name.strip()[:NAME_CHARS], "expires_at": expires_at}
    key = ApiKey(id=written.id, hash=written.hash, scopes=[str(scope) for scope in scopes], **about)
    session.add(key)
    session.flush()
    return key, written


def find_key(session: Session, id: str) -> ApiKey:
    """A key by its id, or by the whole of it; raises `NotFound`."""
    written = read_key(id)
    key = session.get(ApiKey, written.id if written else id)
    if key is None:
        raise NotFound(f"There is no key {written.id if written else id!r}; `argus keys list` lists all.", field="key")
    return key


def revoke_key(session: Session, key: ApiKey) -> None:
    """It opens nothing any more, within seconds; a second time nothing changes."""
    session.execute(
        update(ApiKey).where(ApiKey.id == key.id, ApiKey.revoked_at.is_(None)).values(revoked_at=func.now())
    )


def rotate_key(session: Session, key: ApiKey, until: datetime | None = None) -> tuple[ApiKey, Written]:
    """A new key in place of one, which goes: at once, or at a time until which both are good.

    Raises:
        BadInput: it is revoked, and a successor would bring back what somebody took away.
    """
    if key.revoked_at is not None:
        raise BadInput(f"Key {key.id} is revoked: create another one.", field="key")
    scopes = tuple(Scope(scope) for scope in key.scopes)
    made = create_key(session, key.tenant, key.name, scopes, key.expires_at)
    if until is None:
        revoke_key(session, key)
    else:
        key.expires_at = min(until, key.expires_at or until)
    return made


def list_keys(session: Session, tenant: str | None = None) -> list[ApiKey]:
    """All keys, or those of a tenant, oldest first."""
    query = select(ApiKey).order_by(ApiKey.tenant, ApiKey.created_at)
    return list(session.scalars(query.where(ApiKey.tenant == tenant) if tenant else query))
