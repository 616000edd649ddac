"""`argus doctor`: what is wrong with this machine or configuration, and what to do. The checks are in `cli/checks/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from cli.checks import files, gpus, machine, services, setup
from cli.checks.finding import Check, Finding
from cli.terminal import JSON_OUT, make_console, shows_table, write_json
from core.errors import ArgusError, BadSettings

CHECKS: dict[str, Check] = {
    "python": machine.python,
    "settings": setup.configuration,
    "disk": machine.disk,
    "memory": machine.memory,
    "weights": setup.weights,
    "LoRAs": setup.loras,
    "profile": setup.profile,
    "GPU": gpus.gpu,
    "ports": services.ports,
    "services": services.services,
}


@click.command()
@click.option("--deep", is_flag=True, help="Compare every image with its file, too. Changes nothing.")
@click.option("--repair", is_flag=True, help="Remove files that no image has, and have missing images drawn again.")
@click.option("--json", "out", type=JSON_OUT, help="Write the findings as JSON (- is stdout).")
def doctor(deep: bool, repair: bool, out: Path | None) -> None:
    """Say what is wrong with this machine or configuration, and what to do.

    Looks at Python and packages, settings, disk, memory, weights, profiles, GPU, ports, and, when Argus runs, at
    database, broker, workers and queues. Exit status 1 when something is wrong.
    """
    from rich.text import Text

    console, found = make_console(stderr=not shows_table(out)), []
    for finding in findings({**CHECKS, "files": partial(files.files, repair)} if deep or repair else CHECKS):
        mark = ("ok   ", "green") if finding.ok else ("WRONG", "bold red")
        console.print(Text.assemble(mark, f"  {finding.subject}: {finding.text}"), soft_wrap=True)
        found.append(finding)
    wrong = sum(not finding.ok for finding in found)
    write_json(out, {"wrong": wrong, "findings": [asdict(finding) for finding in found]})
    console.print(f"{wrong} wrong." if wrong else "Nothing wrong.")
    raise SystemExit(1 if wrong else 0)


def findings(checks: Mapping[str, Check] = CHECKS) -> Iterator[Finding]:
    """Run every check; one that raises is a finding itself. Without settings there is nothing more to look at."""
    for subject, check in checks.items():
        try:
            yield from check()
        except ArgusError as error:
            yield Finding(subject, False, f"[{error.code}] {error.message} {error.help}")
            if isinstance(error, BadSettings):
                return
