"""`argus profile` and `argus evaluate`: what every level of a family costs on this machine, and what quality it keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from core.families import ROOT, load_family
from core.settings import settings


@click.command()
@click.option("--family", "name", default=None, help="Family to measure: a file of families/ or a path. [ARGUS_FAMILY]")
@click.option("--device", default="cpu:0", show_default=True, help="Device to measure, e.g. cpu:0 or cuda:0.")
@click.option(
    "--random-weights",
    type=click.Choice(["sd15", "sdxl", "sd3", "flux"]),
    default=None,
    help="Build this architecture at full width with random weights: its speed without its checkpoint.",
)
@click.option("--sizes", default="1,2,4,8", show_default=True, help="Batch sizes to measure.")
@click.option("--repeats", default=5, show_default=True, help="Runs of each measurement; the median counts.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Where the profile goes. [profiles/<family>/<device>.json]",
)
@click.option("--json", "copy", type=click.Path(path_type=Path), default=None, help="Write the profile here too.")
def profile(
    name: str | None,
    device: str,
    random_weights: str | None,
    sizes: str,
    repeats: int,
    out: Path | None,
    copy: Path | None,
) -> None:
    """Measure what every level costs on this machine."""
    import torch

    from workers import devices
    from workers.pipelines.random_weights import random_family
    from workers.profiling import measure

    family = random_family(random_weights) if random_weights else load_family(name or settings().family)
    torch.set_num_threads(devices.threads(devices.checked(device)))
    batches = [int(size) for size in sizes.split(",")]
    with _progress(f"{family.id} on {device}") as progress:
        measured = measure(family, devices.torch_device(device), sizes=batches, repeats=repeats, progress=progress)
    target = out or ROOT / "profiles" / family.id / f"{measured['device']}.json"
    for file in filter(None, (target, copy)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    _show(measured, target)


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

    Prompts are drawn at every level with the same seeds; the quality table is written. `--train --count 6000 --seeds 1` made
    the embedded family's training table; `python -m scheduler.predictors` then trains on it.
    """
    import torch

    from families.embedded import card as embedded
    from workers import devices, evaluation
    from workers.quality import load_scorer

    family = load_family(name or settings().family)
    if (prompts is None or card) and family.id != "embedded":
        raise click.UsageError(
            "Only the embedded family has prompts and a card of its own: give --prompts, leave --card out."
        )
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
    evaluation.write_table(answer, out or ROOT / "profiles" / family.id / table_name)
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


class _progress:
    """A bar on standard error, one mark a model."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self.bar = Progress(console=Console(stderr=True))
        self.task = self.bar.add_task(title, total=None)

    def __enter__(self) -> Any:
        self.bar.start()
        return lambda done, total, what: self.bar.update(
            self.task, completed=done, total=total, description=f"measuring {what}"
        )

    def __exit__(self, *_: object) -> None:
        self.bar.stop()


def _show(measured: dict[str, Any], target: Path) -> None:
    """The table for people: seconds, but steps in milliseconds by rows."""
    from rich.console import Console
    from rich.table import Table

    hardware = measured["hardware"]
    sizes = [point["size"] for point in measured["levels"][0]["batch"]]
    table = Table(
        title=f"{measured['family']} on {hardware['name']}, {hardware['threads']} threads, {hardware['dtype']}"
    )
    columns = (
        "level",
        "model",
        "steps",
        "a minute",
        "alone",
        *(f"ms×{size}" for size in sizes),
        "encode",
        "decode",
        "load",
        "MB",
    )
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < 2 else "right", no_wrap=True)
    for level in measured["levels"]:
        table.add_row(
            level["id"],
            level["model"],
            str(level["steps"] - level["skipped_steps"]),
            f"{level['requests_per_minute']:.1f}",
            f"{level['latency_s']:.3f}",
            *(f"{1000 * point['step_s']:.1f}" for point in level["batch"]),
            *(f"{level[name]:.3f}" for name in ("encode_s", "decode_s", "load_s")),
            f"{level['memory_mb']:.0f}",
        )
    console = Console(width=max(110, Console().width))
    console.print(table)
    if measured["random_weights"]:
        console.print("Random weights: speed only, its images are noise and have no quality.")
    console.print(f"written to {target}")
