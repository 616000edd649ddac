"""`argus evaluate`: what quality every level of a family keeps, by its scorer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.numbers import Whole
from cli.terminal import IN_FILE, JSON_OUT, OUT_FILE, shows_table, write_json

if TYPE_CHECKING:
    from core.families import Family
    from workers.measure.evaluate import Drawn, Evaluation, Evaluator


@dataclass(frozen=True)
class Options:
    """The command's options, as click gives them."""

    name: str | None
    prompts: Path | None
    count: int
    seeds: int
    fill: int
    device: str
    threads: int | None
    levels: tuple[str, ...]
    out: Path | None
    train: bool
    card: bool
    json: Path | None


@click.command()
@click.option("--family", "name", help="Family to evaluate: a file of families/ or a path. [ARGUS_FAMILY]")
@click.option(
    "--prompts",
    type=IN_FILE,
    help="Prompts, one a line; those after the first COUNT fill the cache. [held-out prompts of the embedded family]",
)
@click.option("--count", type=Whole(1), default=500, show_default=True, help="Prompts to draw.")
@click.option("--seeds", type=Whole(1), default=3, show_default=True, help="Seeds a prompt; its quality is their mean.")
@click.option(
    "--fill", type=Whole(0), default=500, show_default=True, help="Other prompts that fill the cache of `ac` levels."
)
@click.option("--device", default="cpu:0", show_default=True, help="Device to draw on, e.g. cpu:0 or cuda:0.")
@click.option("--threads", type=Whole(1), help="CPU threads to draw with; timing takes one. [all]")
@click.option(
    "--level", "levels", multiple=True,
    help="Only this level, into the table of the same prompts that is there. Repeatable.",
)  # fmt: skip
@click.option("--out", type=OUT_FILE, help="[profiles/<family>/quality.csv, with --train quality-train.csv]")
@click.option(
    "--train",
    is_flag=True,
    help="Draw other prompts than the evaluated ones, at levels without a cache: what the predictor learns from.",
)
@click.option("--card", is_flag=True, help="Write figures and pictures of the embedded family into docs/model-card.md.")
@click.option("--json", type=JSON_OUT, help="Also write each level's mean score and quality as JSON (- is stdout).")
def evaluate(**given: Any) -> None:
    """Measure what quality every level of a family keeps, by its scorer.

    Prompts are drawn at every level with the same seeds; the quality table is written. `--train --count 6000 --seeds 1`
    made the embedded family's training table; `python -m scheduler.prediction.store` then trains on it.
    """
    from core.measured import measured_target
    from workers.measure.evaluate import add_to_table, figures, summary, write_table

    options = Options(**given)
    family = _family(options)
    lines = _prompts(options)
    chosen = [family.level(name) for name in options.levels]
    evaluator = _evaluator(options, family, lines[options.count : options.count + options.fill])
    target = options.out or measured_target(family.id, "quality-train.csv" if options.train else "quality.csv")
    answer = evaluator.run(lines[: options.count], _tell, not options.train and not chosen, chosen)
    if chosen:
        add_to_table(answer, target)
        write_json(options.json, {"added": list(answer.levels), "file": str(target)})
        return
    write_table(answer, target)
    write_json(options.json, summary(answer))
    if not options.train and shows_table(options.json):
        click.echo(_write_card(options, family, evaluator, answer) if options.card else figures(answer))


def _family(options: Options) -> Family:
    """The family to evaluate; with --train without the levels that need a cache."""
    from core.families import load_family
    from core.settings import CHECKOUT, settings

    family = load_family(options.name or settings().family)
    if (options.prompts is None or options.card) and family.id != "embedded":
        raise click.UsageError(
            "Only the embedded family has prompts and a card of its own: give --prompts, leave --card out."
        )
    if options.card and not CHECKOUT:
        raise click.UsageError("--card writes into docs/ of a checkout; this Argus is installed without one.")
    if not options.train:
        return family
    without_cache = {name: level for name, level in family.levels.items() if not level.looks_up}
    return family.model_copy(update={"levels": without_cache})


def _prompts(options: Options) -> list[str]:
    """The prompts to draw, and after them those that fill the cache."""
    if options.prompts is not None:
        return [line.strip() for line in options.prompts.read_text(encoding="utf-8").splitlines() if line.strip()]
    from families.embedded import card

    return card.beyond(options.count) if options.train else card.prompts(options.count, options.fill)


def _evaluator(options: Options, family: Family, others: list[str]) -> Evaluator:
    import torch

    from core.devices import torch_device
    from core.settings import settings
    from workers.measure.evaluate import Evaluator
    from workers.scoring import load_scorer

    if options.threads:
        torch.set_num_threads(options.threads)
    kept = settings().home / "evaluations"
    return Evaluator(family, load_scorer(family), torch_device(options.device), options.seeds, kept, others)


def _tell(level: str, drawn: Drawn) -> None:
    click.echo(f"{level}: CLIPScore {drawn.scores.mean():.3f}", err=True)


def _write_card(options: Options, family: Family, evaluator: Evaluator, answer: Evaluation) -> str:
    """Write the model card; returns its table."""
    from core.devices import torch_device
    from families.embedded import card
    from workers.measure.evaluate import figures, made_on, side_by_side

    scenes = card.scenes(options.count)
    page = side_by_side(answer, card.varied(scenes, 10))
    machine = made_on(torch_device(options.device), evaluator.engine.dtype)
    return card.write(answer, family.reference, scenes, figures(answer), page, machine)
