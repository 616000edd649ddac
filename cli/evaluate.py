"""`argus evaluate`: what quality every level of a family keeps, by its scorer."""

from __future__ import annotations

from pathlib import Path

import click

from core.families import load_family
from core.settings import CHECKOUT, settings


@click.command()
@click.option("--family", "name", default=None, help="Family to judge: a file of families/ or a path. [ARGUS_FAMILY]")
@click.option(
    "--prompts",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help="Prompts, one a line; those after the first COUNT fill the cache. [held-out prompts of the embedded family]",
)
@click.option("--count", default=500, show_default=True, help="Prompts to judge.")
@click.option("--seeds", default=3, show_default=True, help="Seeds a prompt; its quality is their mean.")
@click.option("--fill", default=500, show_default=True, help="Other prompts that fill the cache of `ac` levels.")
@click.option("--device", default="cpu:0", show_default=True, help="Device to draw on, e.g. cpu:0 or cuda:0.")
@click.option("--threads", default=None, type=int, help="CPU threads to draw with; timing takes one. [all]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="[profiles/<family>/quality.csv, with --train quality-train.csv]",
)
@click.option(
    "--train",
    is_flag=True,
    help="Draw other prompts than the judged ones, at levels without a cache: what the predictor learns from.",
)
@click.option("--card", is_flag=True, help="Write figures and pictures of the embedded family into docs/model-card.md.")
def evaluate(
    name: str | None,
    prompts: Path | None,
    count: int,
    seeds: int,
    fill: int,
    device: str,
    threads: int | None,
    out: Path | None,
    train: bool,
    card: bool,
) -> None:
    """Judge what quality every level of a family keeps, by its scorer.

    Prompts are drawn at every level with the same seeds; the quality table is written. `--train --count 6000 --seeds 1`
    made the embedded family's training table; `python -m scheduler.prediction.store` then trains on it.
    """
    import torch

    from core import devices
    from core.measured import measured_target
    from families.embedded import card as embedded
    from workers.measure import evaluate as evaluation
    from workers.scoring import load_scorer

    family = load_family(name or settings().family)
    if (prompts is None or card) and family.id != "embedded":
        raise click.UsageError(
            "Only the embedded family has prompts and a card of its own: give --prompts, leave --card out."
        )
    if card and not CHECKOUT:
        raise click.UsageError("--card writes into docs/ of a checkout; this Argus is installed without one.")
    if train:
        family = family.model_copy(update={"levels": {i: lv for i, lv in family.levels.items() if lv.strategy != "ac"}})
    if prompts is None:
        lines = embedded.beyond(count) if train else embedded.prompts(count, fill)
    else:
        lines = [line.strip() for line in prompts.read_text(encoding="utf-8").splitlines() if line.strip()]
    if threads:
        torch.set_num_threads(threads)
    target = devices.torch_device(device)
    kept = settings().home / "evaluations"
    drawing = evaluation.Evaluator(family, load_scorer(family), target, seeds, kept, lines[count : count + fill])
    answer = drawing.run(
        lines[:count], lambda level, d: click.echo(f"{level}: CLIPScore {d.scores.mean():.3f}", err=True), not train
    )
    table_name = "quality-train.csv" if train else "quality.csv"
    evaluation.write_table(answer, out or measured_target(family.id, table_name))
    if train:
        return
    table = evaluation.figures(answer)
    if card:
        scenes = embedded.scenes(count)
        page = evaluation.side_by_side(answer, embedded.varied(scenes, 10))
        table = embedded.write(
            answer, family.reference, scenes, table, page, evaluation.made_on(target, drawing.engine.dtype)
        )
    click.echo(table)
