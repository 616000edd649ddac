"""How well other kinds of job do on held-out scenes of the embedded family, beside what is simpler.

    python -m families.embedded.recipe.fetch             # once: the pictures of which scenes are painted
    python -m bench.kinds [--scenes 24] [--pairs 24] [--train-s 300] [--write]

Restoration by P2L (`restoration.py`), fusion by DDFM (`fusion.py`), translation by a bridge that is trained here
(`translation.py`).
"""

from __future__ import annotations

import click
import torch

from bench.kinds.fusion import fusion
from bench.kinds.page import page
from bench.kinds.restoration import NOISE, restoration
from bench.kinds.setup import SIDE, Bench
from bench.kinds.translation import PAIRS, Network, translation
from bench.live.machine import hardware
from bench.own import keep, run_of
from core.settings import ROOT

KEPT, PAGE = ROOT / "docs/results/kinds.json", ROOT / "docs/results/kinds.md"


@click.command()
@click.option("--scenes", "count", default=24, show_default=True, help="Held-out scenes of each restoration.")
@click.option("--pairs", default=24, show_default=True, help="Synthetic pairs to fuse.")
@click.option("--train-s", default=300.0, show_default=True, help="Seconds of training the bridge.")
@click.option("--write", is_flag=True, help="Write docs/results/kinds.json and .md.")
def main(count: int, pairs: int, train_s: float, write: bool) -> None:
    """Measure restoration, fusion and translation."""
    run = run_of("bench.kinds", scenes=count, pairs=pairs, train_s=train_s, side=SIDE, noise=NOISE)
    torch.manual_seed(0)
    bench = Bench.load()
    weights = sum(weight.numel() for weight in Network(bench.member.codec.channels).parameters())
    run |= {"threads": torch.get_num_threads(), "trained_pairs": PAIRS, "parameters": weights}
    found = {"run": run, "hardware": hardware()}
    found |= {"translation": translation(bench, train_s, pairs), "fusion": fusion(bench, pairs)}
    found |= {"restoration": restoration(bench, count)}
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))


if __name__ == "__main__":
    main()
