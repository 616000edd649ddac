"""`argus settings`: every setting with its value and meaning."""

from __future__ import annotations

import click

from cli.terminal import make_console


@click.command()
def show_settings() -> None:
    """List every setting with its value and meaning."""
    from rich.table import Table

    from core.settings import PREFIX, Settings, settings

    table = Table("setting", "value", "meaning")
    for name, field in Settings.model_fields.items():
        value = getattr(settings(), name)
        shown = "…" if name.endswith("_url") and value else str(value)  # an address may carry a password
        changed = value != field.default
        table.add_row(f"{PREFIX}{name.upper()}", f"[bold]{shown}[/]" if changed else shown, field.description)
    make_console().print(table)
