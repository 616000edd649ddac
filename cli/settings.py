"""`argus settings`: every setting with its value and meaning."""

from __future__ import annotations

import click

from core.settings import PREFIX, settings


@click.command()
def show_settings() -> None:
    """List every setting with its value and meaning."""
    from rich.table import Table

    from cli.terminal import make_console
    from core.settings import Settings

    table = Table("setting", "value", "meaning")
    for name, field in Settings.model_fields.items():
        value = getattr(settings(), name)
        shown = "…" if name.endswith("_url") and value else str(value)  # an address may carry a password
        table.add_row(
            f"{PREFIX}{name.upper()}", shown if value == field.default else f"[bold]{shown}[/]", field.description
        )
    make_console().print(table)
