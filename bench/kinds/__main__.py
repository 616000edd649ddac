"""How well other kinds of job do on held-out scenes of the embedded family, beside what is simpler.

    python -m families.embedded.recipe.fetch             # once: the pictures of which scenes are painted
    python -m bench.kinds [--scenes 24] [--part translation] [--write]

Restoration by P2L (`restoration.py`), fusion by DDFM (`fusion.py`), translation by the family's bridge
(`translation.py`). Each part keeps what it found when it was last run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import torch

from bench.kinds.fusion import fusion
from bench.kinds.page import page
from bench.kinds.restoration import NOISE, restoration
from bench.kinds.setup import SIDE, Bench
from bench.kinds.translation import translation
from bench.live.machine import hardware
from bench.own import keep, run_of
from core.settings import ROOT

KEPT, PAGE = ROOT / "docs/results/kinds.json", ROOT / "docs/results/kinds.md"
SHEETS = ROOT / "docs/results/img"
PARTS = ("restoration", "fusion", "translation")


@click.command()
@click.option("--scenes", "count", default=24, show_default=True, help="Held-out scenes of each part.")
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="Only this one; may be repeated.")
@click.option("--write", is_flag=True, help="Write docs/results/kinds.json and .md, and the sheets.")
def main(count: int, parts: tuple[str, ...], write: bool) -> None:
    """Measure restoration, fusion and translation."""
    torch.manual_seed(0)
    bench = Bench.load()
    found: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    for part in parts or PARTS:
        run = run_of("bench.kinds", scenes=count, side=SIDE, noise=NOISE, threads=torch.get_num_threads())
        found[part] = {
            "run": run,
            "hardware": hardware(),
            "ways": measure(part, bench, count, SHEETS if write else None),
        }
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))


def measure(part: str, bench: Bench, count: int, sheets: Path | None) -> dict[str, Any]:
    """The figures of one part."""
    if part == "translation":
        return translation(bench, count, sheets)
    return {"restoration": restoration, "fusion": fusion}[part](bench, count)


if __name__ == "__main__":
    main()
