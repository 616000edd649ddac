"""`argus settings`: every setting with its value and meaning."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from cli.terminal import JSON_OUT, make_console, shows_table, write_json


@click.command()
@click.option("--json", "out", type=JSON_OUT, help="Write them as JSON (- is stdout).")
@click.option("--urls", is_flag=True, help="Only the addresses of database and broker in force, with their passwords.")
def show_settings(out: Path | None, urls: bool) -> None:
    """List every setting with its value and meaning.

    `export $(argus settings --urls)` gives other programs ARGUS_DATABASE_URL, ARGUS_BROKER_URL
    and, where it is known, ARGUS_REPORT_URL.
    """
    if urls:
        _show_urls(out)
        return
    from rich.markup import escape
    from rich.table import Table

    from core.settings import PREFIX, SECRETS, Settings, settings

    table, all_of_them = Table("setting", "value", "meaning"), {}
    for name, field in Settings.model_fields.items():
        value = getattr(settings(), name)
        shown = "…" if name in SECRETS and value else str(value)  # an address may carry a password
        changed = value != field.default
        table.add_row(
            f"{PREFIX}{name.upper()}", f"[bold]{escape(shown)}[/]" if changed else escape(shown), field.description
        )
        all_of_them[f"{PREFIX}{name.upper()}"] = {"value": shown, "changed": changed, "meaning": field.description}
    write_json(out, all_of_them)
    if shows_table(out):
        make_console().print(table)


def _show_urls(out: Path | None) -> None:
    """A line each, as shells read them."""
    from core.errors import ServiceDown
    from core.services import broker_url, database_url, report_url

    urls = {"ARGUS_DATABASE_URL": database_url(), "ARGUS_BROKER_URL": broker_url()}
    with suppress(ServiceDown):  # a database of one's own may have no such role
        urls["ARGUS_REPORT_URL"] = report_url()
    write_json(out, urls)
    if shows_table(out):
        for name, url in urls.items():
            click.echo(f"{name}={url}")
