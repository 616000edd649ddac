"""`argus tenants`: who owns work here, and how much of the devices is theirs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.numbers import Number, Whole
from cli.terminal import JSON_OUT, having, make_console, shows_table, write_json

if TYPE_CHECKING:
    from core.tenant_tables import Tenant

NONE = "none"
BOUNDS = ("weight", "daily_images", "rate", "retention_days")


class OrNone(click.ParamType[Any]):
    """A value of another kind, or `none`: no bound."""

    def __init__(self, kind: click.ParamType[Any]) -> None:
        self.kind, self.name = kind, f"{kind.name}, or none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value, or the word."""
        return NONE if str(value).lower() == NONE else self.kind.convert(value, param, ctx)


class Rate(click.ParamType[str]):
    """A rate such as 60/minute."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The rate; wrong use where there is none."""
        from limits import parse_many

        try:
            parse_many(value)
        except ValueError:
            self.fail(f"{value!r} is no rate: write it as 60/minute, or 10/second;1000/day.", param, ctx)
        return str(value)


MAY_TAKE = (
    click.option(
        "--weight", type=Number(0.001, 1000.0), help="Share of the devices while others want them too; 1 is usual."
    ),
    click.option("--daily-images", type=OrNone(Whole(0, 2**31 - 1)), help="Images accepted a day (UTC)."),
    click.option("--rate", type=OrNone(Rate()), help="Submissions, e.g. 60/minute, in place of ARGUS_RATE_LIMIT."),
    click.option("--retention-days", type=OrNone(Number(0)), help="Days after which jobs that have ended are removed."),
)


@click.group()
def tenants() -> None:
    """Make, list and change tenants: who owns jobs, and what share and quota they have."""


@tenants.command()
@click.argument("name")
@having(MAY_TAKE)
@click.option("--json", "out", type=JSON_OUT, help="Write it as JSON (- is stdout).")
def create(name: str, out: Path | None, **bounds: Any) -> None:
    """Make a tenant; `argus keys create NAME` makes a key of it."""
    from core.database import transaction
    from core.tenants import create_tenant

    with transaction() as session:
        made = create_tenant(session, name, **_given(bounds))
    _show([made], out)


@tenants.command("set")
@click.argument("name")
@having(MAY_TAKE)
@click.option("--json", "out", type=JSON_OUT, help="Write it as JSON (- is stdout).")
def change(name: str, out: Path | None, **bounds: Any) -> None:
    """Change what a tenant may take; `none` takes a bound away."""
    from core.database import transaction
    from core.tenants import find_tenant

    with transaction() as session:
        found = find_tenant(session, name)
        for column, value in _given(bounds).items():
            setattr(found, column, value)
    _show([found], out)


@tenants.command("list")
@click.option("--json", "out", type=JSON_OUT, help="Write them as JSON (- is stdout).")
def list_all(out: Path | None) -> None:
    """List tenants with their weights and bounds."""
    from core.database import transaction
    from core.tenants import list_tenants

    with transaction() as session:
        found = list_tenants(session)
    _show(found, out)


def _given(bounds: dict[str, Any]) -> dict[str, Any]:
    """Those that were named, `none` as no bound."""
    return {name: None if value == NONE else value for name, value in bounds.items() if value is not None}


def _show(found: list[Tenant], out: Path | None) -> None:
    from rich.table import Table

    rows = [{"name": one.name, **{bound: getattr(one, bound) for bound in BOUNDS}} for one in found]
    write_json(out, rows)
    if shows_table(out):
        table = Table("tenant", "weight", "images a day", "submissions", "kept days")
        for row in rows:
            bounds = ("any" if row[name] is None else str(row[name]) for name in BOUNDS[1:])
            table.add_row(row["name"], f"{row['weight']:g}", *bounds)
        make_console().print(table)
