"""`argus keys`: keys of tenants, made and taken away in the database of this Argus."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.durations import Duration
from cli.terminal import JSON_OUT, make_console, shows_table, write_json

if TYPE_CHECKING:
    from core.keys import Scope, Written
    from core.tenant_tables import ApiKey

ONCE = "Keep it now: only its hash is stored, and nobody can show it again."


class Scopes(click.ParamType[tuple["Scope", ...]]):
    """Scopes with commas between."""

    name = "scopes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Scope, ...]:
        """The scopes; wrong use where one is none."""
        from core.keys import Scope

        given = [word.strip() for word in str(value).split(",")]
        if unknown := [word for word in given if word not in set(Scope)]:
            self.fail(f"{unknown[0]!r} is no scope: choose among {', '.join(Scope)}.", param, ctx)
        return tuple(Scope(word) for word in dict.fromkeys(given))


@click.group()
def keys() -> None:
    """Make, list, replace and revoke keys of tenants. Once there is one, keys are demanded of everybody."""


@keys.command()
@click.argument("tenant", default="default")
@click.option("--name", default="", help="What it is for, for people.")
@click.option("--scopes", type=Scopes(), default="submit,read", show_default=True,
              help="submit, read, metrics, admin; with commas between.")  # fmt: skip
@click.option("--expires", type=Duration(), help="How long it is good, e.g. 90d; default: until it is revoked.")
@click.option("--json", "out", type=JSON_OUT, help="Write it as JSON (- is stdout).")
def create(tenant: str, name: str, scopes: tuple[Scope, ...], expires: timedelta | None, out: Path | None) -> None:
    """Make a key of TENANT (default: `default`); it is shown once."""
    from core.database import transaction
    from core.keys import create_key

    until = datetime.now(UTC) + expires if expires else None
    with transaction() as session:
        key, written = create_key(session, tenant, name, scopes, until)
        session.refresh(key)
    _show(key, written, out)


@keys.command("list")
@click.argument("tenant", required=False)
@click.option("--json", "out", type=JSON_OUT, help="Write them as JSON (- is stdout).")
def list_all(tenant: str | None, out: Path | None) -> None:
    """List keys of all tenants, or of TENANT; never their secrets."""
    from rich.table import Table

    from core.database import transaction
    from core.keys import list_keys

    with transaction() as session:
        found = [_about(key) for key in list_keys(session, tenant)]
    write_json(out, found)
    if shows_table(out):
        table = Table("key", "tenant", "name", "scopes", "state", "expires", "last used")
        for one in found:
            table.add_row(one["id"], one["tenant"], one["name"] or "–", ", ".join(one["scopes"]), one["state"],
                          _short(one["expires_at"]), _short(one["used_at"]))  # fmt: skip
        make_console().print(table)


@keys.command()
@click.argument("key")
@click.option("--json", "out", type=JSON_OUT, help="Write it as JSON (- is stdout).")
def revoke(key: str, out: Path | None) -> None:
    """Revoke KEY (its id, or the whole of it): within seconds it opens nothing, and sessions of it end."""
    from core.database import transaction
    from core.keys import find_key, revoke_key

    with transaction() as session:
        found = find_key(session, key)
        revoke_key(session, found)
        session.refresh(found)
        about = _about(found)
    write_json(out, about)
    if shows_table(out):
        click.echo(f"Key {about['id']} of {about['tenant']} is revoked.")


@keys.command()
@click.argument("key")
@click.option("--grace", type=Duration(), help="How long the old one stays good, e.g. 1d; default: not at all.")
@click.option("--json", "out", type=JSON_OUT, help="Write the new one as JSON (- is stdout).")
def rotate(key: str, grace: timedelta | None, out: Path | None) -> None:
    """Make a new key in place of KEY: of the same tenant, name and scopes; it is shown once."""
    from core.database import transaction
    from core.keys import find_key, rotate_key

    until = datetime.now(UTC) + grace if grace else None
    with transaction() as session:
        made, written = rotate_key(session, find_key(session, key), until)
        session.refresh(made)
    _show(made, written, out)


def _show(key: ApiKey, written: Written, out: Path | None) -> None:
    about = {**_about(key), "key": str(written)}
    write_json(out, about)
    if shows_table(out):
        click.echo(f"{ONCE} Tenant {key.tenant}, scopes {', '.join(key.scopes)}.", err=True)
        click.echo(str(written))


def _about(key: ApiKey) -> dict[str, Any]:
    """What may be known of a key."""
    over = key.expires_at is not None and key.expires_at <= datetime.now(UTC)
    state = "revoked" if key.revoked_at else "expired" if over else "good"
    times = {name: getattr(key, name) for name in ("created_at", "expires_at", "revoked_at", "used_at")}
    told = {name: at.isoformat() if at else None for name, at in times.items()}
    return {"id": key.id, "tenant": key.tenant, "name": key.name, "scopes": key.scopes, "state": state, **told}


def _short(time: str | None) -> str:
    return time[:16].replace("T", " ") if time else "–"
