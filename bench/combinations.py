"""What levels keep and cost on the embedded family, those made of others among them, and what one batch for all saves.

    python -m bench.combinations [--prompts 24] [--seconds 150] [--write]

Held-out prompts are drawn at every level by the engine, those of `ac` from a cache of other prompts. What was drawn is
kept: runs continue until all levels are done. Then a request of each level of one model is drawn alone, and all of them
at once: the forwards of both are counted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click
import torch

from app.records.pareto import NORMAL_95, Point, with_best
from bench.own import keep, run_of
from core.families import Family, load_family
from core.settings import ROOT, settings
from families.embedded import card
from workers.engine.engine import Engine
from workers.engine.request import GenerationRequest
from workers.measure.evaluate import Evaluation, Evaluator, relative_quality, together
from workers.measure.hardware import hardware
from workers.scoring import load_scorer

KEPT, PAGE = ROOT / "docs/results/combinations.json", ROOT / "docs/results/combinations.md"
LEVELS = ("exact", "ac-3", "cq-3", "sub-5", "ac-3+cq-3", "ac-3+sub-5", "fs-turbo-4", "fs-turbo-2", "fs-turbo-1")
SEEDS = 1


def figures(family: Family, answer: Evaluation) -> list[Point]:
    """The levels in numbers: quality relative to `exact` with its 95 % interval, seconds of an image alone."""
    reference, found = answer.levels[family.reference].scores, list[Point]()
    for name, drawn in answer.levels.items():
        relative = relative_quality(drawn.scores, reference)
        mean, error = float(relative.mean()), float(relative.std(ddof=1)) / len(relative) ** 0.5
        low, high = mean - NORMAL_95 * error, mean + NORMAL_95 * error
        level = family.level(name)
        found.append(
            Point(name, drawn.seconds, mean, low, high, len(relative), level.by_name, name == family.reference)
        )
    return with_best(found)


def forwards(family: Family, levels: Sequence[str]) -> dict[str, int]:
    """Forwards of a request of each of these levels of one model, alone one after the other and all in one engine."""
    model = family.level(levels[0]).model
    engine = Engine(family, "cpu", threaded=False)
    adapter = engine.load(model).adapter

    def count(requests: list[list[GenerationRequest]]) -> int:
        before = adapter.forwards + adapter.shallow_forwards
        for some in requests:
            together(engine, some)
        return adapter.forwards + adapter.shallow_forwards - before

    d = family.defaults
    asked = [
        GenerationRequest(
            f"{level}-{turn}", "a red fox", turn, family.level(level), d.steps, d.guidance, d.width, d.height
        )
        for turn, level in enumerate(levels)
    ]
    again = [replace(one, request_id=f"again {one.request_id}") for one in asked]
    return {"alone": count([[one] for one in asked]), "together": count([again])}


def page(found: dict[str, Any]) -> str:
    """The page for people."""
    run, machine = found["run"], found["hardware"]
    rows = [
        f"| `{one['level']}` | {one['quality']:.4f} ± {one['high'] - one['quality']:.4f} | {one['seconds']:.2f} "
        f"| {one.get('skipped', 0.0):.1%} | {'yes' if one['best'] else 'no'} |"
        for one in found["levels"]
    ]
    alone, fused = found["forwards"]["alone"], found["forwards"]["together"]
    return "\n".join(
        [
            "# Levels made of others, and one batch for all",
            "",
            "After this page you can say which levels and combinations are worth having on the embedded family.",
            "",
            f"`{run['command']}`, {run['measured']}, family {run['family']} {run['family_version']}, on "
            f"{machine['name']}, torch {machine['torch']}; {found['prompts']} held-out prompts.",
            "",
            "| level | relative quality | seconds | steps skipped | on the front |",
            "| --- | --- | --- | --- | --- |",
            *rows,
            "",
            "*Quality* is CLIPScore relative to `exact` for the same prompt and seed, with the 95 % interval of the",
            "mean; *seconds* are processor time of one image alone on one thread, prompt to picture. A level is *on",
            "the front* where no other is as good and as quick. *Steps skipped* are those that cached latents saved,",
            "of all prompts, those without a cached prompt near enough among them.",
            "",
            f"A request of each of {', '.join(f'`{level}`' for level in found['fused'])}: {alone} forwards one after",
            f"the other, {fused} in one engine, {1 - fused / alone:.0%} fewer.",
            "",
        ]
    )


@click.command()
@click.option(
    "--prompts", default=24, type=click.IntRange(2), show_default=True, help="Held-out prompts; more continue a run."
)
@click.option("--fill", default=500, type=click.IntRange(1), show_default=True, help="Other prompts in the cache.")
@click.option("--seconds", default=150.0, show_default=True, help="Of drawing; call again to continue.")
@click.option("--write", is_flag=True, help="Write docs/results/combinations.json and .md.")
def main(prompts: int, fill: int, seconds: float, write: bool) -> None:
    """Say what every level keeps and costs, and what one batch for all saves."""
    until = time.monotonic() + seconds
    torch.set_num_threads(1)
    whole = load_family("embedded")
    family = whole.model_copy(update={"levels": {name: whole.level(name) for name in LEVELS}})
    asked = card.prompts(prompts, fill)
    kept = settings().home / "bench-combinations"
    evaluator = Evaluator(family, load_scorer(family), "cpu", SEEDS, kept, asked[prompts:])
    answer = Evaluation(family, asked[:prompts])
    for level in family.levels.values():
        if not evaluator.draw(level, asked[:prompts], until):
            click.echo(f"{len(answer.levels)} of {len(LEVELS)} levels; call again", err=True)
            return
        answer.levels[level.id] = evaluator.level(level, asked[:prompts])
    timed = evaluator.run(asked[:prompts], lambda *_: None) if write else answer
    fused = [level for level in LEVELS if family.level(level).model == family.level(LEVELS[0]).model]
    found = {
        "run": run_of("bench.combinations", family=family.id, family_version=family.version),
        "hardware": hardware("cpu", torch.float32),
        "prompts": prompts,
        "levels": [
            {**point.as_dict(), "skipped": timed.levels[point.level].skipped} for point in figures(family, timed)
        ],
        "fused": fused,
        "forwards": forwards(family, fused),
    }
    if write:
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found))


if __name__ == "__main__":
    main()
