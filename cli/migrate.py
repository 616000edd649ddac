"""`argus migrate`: bring the database to the newest schema, in one go or in halves around an upgrade."""

from __future__ import annotations

from pathlib import Path

import click

from cli.terminal import JSON_OUT, make_console, shows_table, write_json


@click.command()
@click.option("--pre", "half", flag_value="pre", help="Only what the version that runs goes on with.")
@click.option(
    "--post", "half", flag_value="post", help="The rest, when no process of the version before runs any more."
)
@click.option("--json", "out", type=JSON_OUT, help="Write what is left as JSON (- is stdout).")
def migrate(half: str | None, out: Path | None) -> None:
    """Bring the database to the newest schema, at once or in halves.

    Without downtime: install the new version, `argus migrate --pre`, `argus restart`, `argus migrate --post`. Without
    an option everything is done at once, for which nothing may run; `argus up` does so itself. Uses
    ARGUS_MIGRATION_URL, else the database of the Argus that runs here.
    """
    from core.database import migrate as to_newest

    left = to_newest(only_pre=half == "pre")
    write_json(out, {"left": left})
    if not shows_table(out):
        return
    console = make_console()
    for name in left:
        console.print(f"left for `argus migrate --post`: {name}", highlight=False)
    if not left:
        console.print("The schema is the newest.")
