"""`python -m bench.chaos`: faults under load, the verdict, the page."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from bench.chaos.page import KEPT, PAGE, page
from bench.chaos.run import Wanted, run
from bench.live.machine import commit, hardware
from core.families import load_family
from core.settings import ROOT
from traces.replay.plan import read_prompts

FAMILY = "embedded"


@click.command()
@click.option("--minutes", default=60.0, show_default=True, help="Time over which the faults are spread.")
@click.option("--faults", type=int, help="How many; more than there is time for take longer. [16 a minute]")
@click.option("--seed", default=1, show_default=True, help="Of faults, arrivals, prompts and image seeds.")
@click.option("--rate", default=45.0, show_default=True, help="Submissions a minute.")
@click.option("--only", default="", help="Only faults whose family or kind contains this.")
@click.option("--home", type=click.Path(path_type=Path), help="Empty folder for the run, kept. [a temporary one]")
@click.option("--write", is_flag=True, help="Write docs/results/chaos.json and .md.")
def main(minutes: float, faults: int | None, seed: int, rate: float, only: str, home: Path | None, write: bool) -> None:
    """Injects faults into an Argus under load and says what was lost; exit status 1 when anything was."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was mounted and started must not stay
    load_before = os.getloadavg()[0]
    wanted = Wanted(minutes, faults or round(16 * minutes), seed, rate, only)
    family = load_family(FAMILY)
    prompts = read_prompts(ROOT / "profiles" / family.id / "quality.csv")
    folder = home.absolute() if home else Path(tempfile.mkdtemp(prefix="argus-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    click.echo(f"ledger, logs: {folder}", err=True)
    found = run(wanted, folder, prompts, lambda text: click.echo(text, err=True))
    found["hardware"] = hardware()
    found["run"] |= {"command": "python -m " + " ".join(["bench.chaos", *sys.argv[1:]]), "load_before": load_before}
    found["run"] |= {"family": family.id, "family_version": family.version, "commit": commit()}
    _keep(found, folder, write)
    click.echo(page(found))
    raise SystemExit(1 if found["findings"] else 0)


def _keep(found: dict[str, Any], folder: Path, write: bool) -> None:
    text = json.dumps(found, indent=1) + "\n"
    (folder / KEPT.name).write_text(text, encoding="utf-8")
    if write:
        KEPT.write_text(text, encoding="utf-8")
        PAGE.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
