"""What reusing deep features costs on the embedded `large`: CacheQuant's table, ours against naive caching.

    python -m bench.levels [--prompts 96] [--seconds 150] [--write]

Held-out prompts are drawn in full and by every way of caching at three intervals, from the same noise. Each way says
how far its latents and deep features are from the computed ones, its CLIPScore relative to that in full with a 95 %
interval, and the processor time of an image. `fewer steps` is the rival that costs nothing to build: as many steps as
the others have whole forwards. What was drawn is kept: runs of `--seconds` each continue until all prompts are done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from bench.levels_page import KEPT, page, write_page
from bench.own import run_of
from core.families import load_family
from core.reuse_plans import ReusePlan
from core.settings import settings
from families.embedded import card
from workers.measure.cachequant import Subject, correction_of, plan_of, record
from workers.measure.hardware import hardware
from workers.pipelines.base import Adapter
from workers.pipelines.reuse import Planned, Reuse
from workers.pipelines.rows import Batch
from workers.scoring import load_scorer
from workers.strategies.cachequant.correction import FeatureMoments
from workers.strategies.cachequant.schedule import schedule, uniform

INTERVALS = (3, 4, 6)
CALIBRATED, HELD_OUT = 8, 8  # prompts whose features are recorded: training prompts, and the first of those judged
TOGETHER = 8  # rows drawn at once
ALONE = 2  # prompts drawn alone for the seconds of an image
FEWER = "fewer steps"
NAIVE, OURS = "naive", "ours"

#: Way of caching → whose schedule, whose correction.
WAYS = {
    NAIVE: ("uniform", None),
    "naive, corrected": ("uniform", "moments"),
    "schedule alone": ("effect", None),
    "as published": ("distance", "least squares"),
    OURS: ("effect", "moments"),
}


@dataclass(frozen=True)
class Way:
    """One way to draw: a plan, or so many steps in full."""

    name: str
    interval: int
    starts: tuple[int, ...]
    steps: int
    plan: ReusePlan | None
    feature_error: float | None


class Studio:
    """The model, its calibration, and the prompts that are judged."""

    def __init__(self, prompts: int, kept: Path) -> None:
        self.family = load_family("embedded")
        model = self.family.models["large"]
        self.subject = Subject(self.family, model, card.prompts(prompts, 0))
        self.adapter: Adapter = self.subject.adapter()
        training = replace(self.subject, prompts=card.beyond(CALIBRATED))
        first = replace(self.subject, prompts=self.subject.prompts[:HELD_OUT])
        self.training, self.moments = training, self._moments(training, kept)
        self.held_out = self._moments(first, kept)
        self.kept = kept / f"{self.subject.signature}.npz"

    @cached_property
    def scorer(self) -> Any:
        return load_scorer(self.family)

    def ways(self) -> Iterator[Way]:
        """In full, then at each interval all ways of caching and fewer steps."""
        steps = self.family.defaults.steps
        yield Way("in full", 1, tuple(range(steps)), steps, None, None)
        for interval in INTERVALS:
            for name in WAYS:
                yield self.way(name, interval)
            count = len(uniform(steps, interval))
            yield Way(FEWER, interval, tuple(range(count)), count, None, None)

    def way(self, name: str, interval: int) -> Way:
        whose, fit = WAYS[name]
        moments, steps = self.moments, self.family.defaults.steps
        distance = moments.effect if whose == "effect" else moments.distance
        starts = uniform(steps, interval) if whose == "uniform" else schedule(distance, interval)
        tables = np.ones_like(moments.mean), np.zeros_like(moments.mean)
        scale, shift = moments.correction(starts, fit) if fit else tables  # type: ignore[arg-type]
        plan = plan_of(self.training, self.adapter, moments, interval, "none")
        plan = plan.model_copy(update={"starts": starts, "feature": correction_of(scale, shift)})
        return Way(name, interval, starts, steps, plan, self.held_out.error(starts, scale, shift))

    @torch.inference_mode()
    def latents(self, way: Way, numbers: Sequence[int]) -> torch.Tensor:
        """Final latents of these prompts [n, C, h, w]."""
        defaults = self.family.defaults.model_copy(update={"steps": way.steps})
        subject = replace(self.subject, family=self.family.model_copy(update={"defaults": defaults}))
        rows = [subject.row(self.adapter, number) for number in numbers]
        for row in rows if way.plan else ():
            row.reuse = Reuse(Planned.of(way.plan, self.adapter.device, self.adapter.dtype))  # type: ignore[arg-type]
        batch = Batch.of(rows)
        while not rows[0].sampler.done:
            self.adapter.advance(batch, self.adapter.denoise(batch))
        return batch.latents

    def scores(self, latents: torch.Tensor, numbers: Sequence[int]) -> list[float]:
        """CLIPScores of the pictures."""
        size = (self.family.defaults.width, self.family.defaults.height)
        images = [self.adapter.decode(latent, size) for latent in latents]
        found: list[float] = self.scorer.score(images, [self.subject.prompts[n] for n in numbers])
        return found

    def seconds(self, way: Way) -> float:
        """Processor time of the steps of an image alone, one thread."""
        began = time.process_time()
        for number in range(ALONE):
            self.latents(way, [number])
        return (time.process_time() - began) / ALONE

    def _moments(self, subject: Subject, kept: Path) -> FeatureMoments:
        return record(subject, self.adapter, kept / f"{subject.signature}-moments.npz", lambda *_: None)


def draw(studio: Studio, until: float) -> dict[str, np.ndarray]:
    """What is still missing, as long as there is time: by way its scores and latent errors, prompts after prompts."""
    found = dict(np.load(studio.kept)) if studio.kept.exists() else {}
    for start in range(0, len(studio.subject.prompts), TOGETHER):
        numbers = range(start, min(start + TOGETHER, len(studio.subject.prompts)))
        for way in studio.ways():
            key = f"{way.name} {way.interval}"
            if len(found.get(key, ())) > start:
                continue
            if time.monotonic() > until:
                return found
            latents = studio.latents(way, numbers)
            if way.plan is None and way.interval == 1:
                found["latents"] = np.concatenate([*([found["latents"]] if start else []), latents.numpy()])
            full = torch.from_numpy(found["latents"][start : start + len(numbers)])
            apart = (latents - full).abs().flatten(1).sum(1) / full.abs().flatten(1).sum(1)
            rows = np.stack([studio.scores(latents, numbers), apart.numpy()], axis=1)
            found[key] = np.concatenate([*([found[key]] if key in found else []), rows])
            studio.kept.parent.mkdir(parents=True, exist_ok=True)
            np.savez(studio.kept, **found)
    return found


def figures(way: Way, rows: np.ndarray, full: np.ndarray, seconds: float) -> dict[str, Any]:
    """One way in numbers: `rows` are scores and latent errors by prompt [P, 2], `full` those in full."""
    relative = rows[:, 0] / full[: len(rows), 0].mean()
    lost = (full[: len(rows), 0] - rows[:, 0]) / full[: len(rows), 0].mean()
    return {
        "way": way.name,
        "interval": way.interval,
        "whole_at": [start + 1 for start in way.starts],
        "whole": len(way.starts),
        "steps": way.steps,
        "prompts": len(rows),
        "clip": float(relative.mean()),
        "clip_interval": float(1.96 * lost.std(ddof=1) / np.sqrt(len(lost))),
        "latent_error": float(rows[:, 1].mean()),
        "feature_error": way.feature_error,
        "seconds": seconds,
    }


def says(ways: Sequence[dict[str, Any]]) -> list[str]:
    """What follows, in sentences, from the figures alone."""
    by = {(way["way"], way["interval"]): way for way in ways}
    lines = []
    for interval in INTERVALS:
        ours, naive, fewer = (by[name, interval] for name in (OURS, NAIVE, FEWER))
        nearer = 1 - ours["latent_error"] / naive["latent_error"]
        rival = f"{fewer['whole']} steps in full have {fewer['clip']:.4f} in {fewer['seconds']:.2f} s"
        lines.append(
            f"- {ours['whole']} of {ours['steps']} whole: latents are {abs(nearer):.0%} "
            f"{'nearer to' if nearer > 0 else 'farther from'} those in full than by naive caching, "
            f"CLIP {ours['clip']:.4f} against {naive['clip']:.4f}. {rival} against {ours['seconds']:.2f} s."
        )
    return lines


@click.command()
@click.option("--prompts", default=96, show_default=True, help="Held-out prompts.")
@click.option("--seconds", default=150.0, show_default=True, help="Of drawing; call again to continue.")
@click.option("--write", is_flag=True, help="Write docs/results/levels.json and .md, of what is drawn.")
def main(prompts: int, seconds: float, write: bool) -> None:
    """Say what every way of caching costs and saves."""
    until = time.monotonic() + seconds
    torch.set_num_threads(1)
    studio = Studio(prompts, settings().home / "bench-levels")
    run = run_of("bench.levels", family=studio.family.id, family_version=studio.family.version, calibrated=CALIBRATED)
    drawn = draw(studio, until)
    ways = list(studio.ways())
    done = min(len(drawn.get(f"{way.name} {way.interval}", ())) for way in ways)
    click.echo(f"{done} of {prompts} prompts", err=True)
    if not done:
        return
    full = drawn["in full 1"]
    rows = [drawn[f"{way.name} {way.interval}"][:done] for way in ways]
    numbers = [
        figures(way, row, full, studio.seconds(way) if write else 1.0) for way, row in zip(ways, rows, strict=True)
    ]
    found = {"run": run, "hardware": hardware("cpu", torch.float32), "ways": numbers, "says": says(numbers)}
    if write:
        KEPT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        write_page()
    click.echo(page(found) if write else json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
