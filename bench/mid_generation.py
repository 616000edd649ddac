"""Whether a look at a third of the steps pays: what the predicted clean image says about finishing cheaper.

    nice python -m bench.mid_generation draw FILE [--prompts 216 --seeds 2]     draws and scores, 10 minutes of a core
    python -m bench.mid_generation report FILE                                  what it says, and what it costs

Held-out prompts of the embedded family are drawn at `exact`. After a third of the steps the predicted clean latent is
decoded and scored (the probe); from the same latent the picture is then finished in each cheaper way that a scheduler
could choose there, and scored as well. `report` asks what the probe knows of a seed's relative quality beyond what the
prompt's prediction says.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from bench.mid_generation_report import report
from core.families import Family, load_family
from core.profiles import read_quality
from core.settings import ROOT
from workers.engine.request import GenerationRequest
from workers.measure.evaluate import FIRST_SEED
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter
from workers.pipelines.embedded import Embedded
from workers.pipelines.rows import Batch, Row, Start
from workers.scoring import load_scorer
from workers.scoring.base import Scorer

TOGETHER = 12  # rows of one forward
SHORTER = (3,)  # schedules that the rest is finished on
LEARNED = 96  # pictures that the linear decoder is fitted to
SIDE = 6  # pixels a latent cell has in its pictures: 96×96, as the scorer looks at them
TIMED = 40


class Drawing:
    """The reference level, the models that could finish its pictures, and the scorer."""

    def __init__(self, family: Family) -> None:
        self.family, self.level = family, family.level(family.reference)
        self.large = load_adapter(family.models[self.level.model], "cpu", torch.float32)
        self.turbo = load_adapter(family.models["turbo"], "cpu", torch.float32)
        self.scorer: Scorer = load_scorer(family)
        self.steps = family.defaults.steps
        self.linear = LinearDecoder(*self.examples())

    def request(self, prompt: str, seed: int) -> GenerationRequest:
        d = self.family.defaults
        return GenerationRequest(f"{seed}", prompt, seed, self.level, d.steps, d.guidance, d.width, d.height)

    def batch(self, prompts: Sequence[str], seeds: Sequence[int]) -> Batch:
        guidance = self.family.defaults.guidance
        requests = [self.request(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        return Batch.of([self.large.prepare(request, Start(self.steps), guidance) for request in requests])

    def scores(self, latents: Tensor, prompts: Sequence[str]) -> list[float]:
        size = (self.family.defaults.width, self.family.defaults.height)
        return self.scorer.score([self.large.decode(latent, size) for latent in latents], prompts)

    def scores_linear(self, latents: Tensor, prompts: Sequence[str]) -> list[float]:
        return self.scorer.score(self.linear.decode(latents), prompts)

    @torch.inference_mode()
    def examples(self) -> tuple[Tensor, list[Image.Image]]:
        """Clean latents of training prompts, drawn in one step, and their pictures."""
        prompts = read_quality(ROOT / "profiles" / "embedded" / "quality-train.csv").prompts[:LEARNED]
        latents = []
        for start in range(0, LEARNED, TOGETHER):
            part = prompts[start : start + TOGETHER]
            latents.append(self.turbo_clean(self.batch(part, range(start, start + len(part)))))
        found = torch.cat(latents)
        size = (self.family.defaults.width, self.family.defaults.height)
        return found, [self.large.decode(latent, size) for latent in found]

    @torch.inference_mode()
    def all_scores(self, prompts: Sequence[str], seeds: Sequence[int]) -> dict[str, list[float]]:
        """By name: the probe's, then the picture's finished in each cheaper way."""
        batch = self.batch(prompts, seeds)
        for _ in range(self.steps // 3):
            predictions = self.large.denoise(batch)
            c, d = batch.rows[0].sampler.clean_weights() or (0.0, 0.0)
            clean = c * batch.latents + d * predictions
            self.large.advance(batch, predictions)
        probes = {"probe": self.scores(clean, prompts), "linear probe": self.scores_linear(clean, prompts)}
        return probes | self.finished_cheaper(batch, prompts)

    def finished_cheaper(self, batch: Batch, prompts: Sequence[str]) -> dict[str, list[float]]:
        """From here on the schedules of fewer steps, and in one step of the distilled model."""
        found = {}
        for steps in SHORTER:
            rows = [replace(row, sampler=copy.copy(row.sampler)) for row in batch.rows]
            for row in rows:
                row.sampler.shorten(steps)
            shorter = Batch(rows, batch.latents.clone(), batch.conditioning, batch.negative)
            taken = run(self.large, shorter)
            found[f"{taken} more steps"] = self.scores(shorter.latents, prompts)
        clean = self.turbo_clean(batch)
        found["1 step of turbo"] = self.scores(clean, prompts)
        return found

    def turbo_clean(self, batch: Batch) -> Tensor:
        """The clean latents that the distilled model sees in these."""
        assert isinstance(self.turbo, Embedded)
        rows = [Row(row.latent, row.conditioning, None, 1.0, row.sampler, row.size) for row in batch.rows]
        unguided = Batch(rows, batch.latents, batch.conditioning, {})
        c, d = rows[0].sampler.clean_weights() or (0.0, 0.0)
        return c * batch.latents + d * self.turbo.denoise(unguided)


def run(adapter: Adapter, batch: Batch) -> int:
    """Run a batch to its end; answers how many steps that took."""
    taken = 0
    while not batch.rows[0].sampler.done:
        adapter.advance(batch, adapter.denoise(batch))
        taken += 1
    return taken


class LinearDecoder:
    """The cheapest decoder there is: each cell's 6×6 pixels as a linear function of it and its eight neighbours.

    Fitted by least squares, as interfaces do that show pictures on the way.
    """

    def __init__(self, latents: Tensor, pictures: Sequence[Image.Image]) -> None:
        side = SIDE * latents.shape[-1]
        small = [np.asarray(picture.resize((side, side), Image.Resampling.BOX)) for picture in pictures]
        pixels = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 127.5 - 1
        wanted = F.pixel_unshuffle(pixels, SIDE).flatten(2).transpose(1, 2).flatten(0, 1)
        self._weights = torch.linalg.lstsq(self._features(latents).flatten(0, 1), wanted).solution

    def decode(self, latents: Tensor) -> list[Image.Image]:
        """Pictures of 96×96 pixels."""
        cells = latents.shape[-1]
        flat = (self._features(latents) @ self._weights).transpose(1, 2)
        pixels = F.pixel_shuffle(flat.unflatten(2, (cells, cells)), SIDE).clamp(-1, 1)
        array = ((pixels + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return [Image.fromarray(one) for one in array]

    def _features(self, latents: Tensor) -> Tensor:
        """[n, cells, 9·channels + 1]"""
        around = F.unfold(latents.float(), 3, padding=1).transpose(1, 2)
        return torch.cat([around, torch.ones_like(around[..., :1])], 2)


def seconds(act: Callable[[], object]) -> float:
    """Median processor seconds of one call."""
    times = []
    for _ in range(TIMED):
        began = time.thread_time()
        act()
        times.append(time.thread_time() - began)
    return float(np.median(times))


def costs(drawing: Drawing, prompt: str) -> dict[str, float]:
    """Seconds on one thread of a whole picture's steps, and of what a probe takes."""
    size = (drawing.family.defaults.width, drawing.family.defaults.height)
    batch = drawing.batch([prompt], [1])
    clean, large = batch.latents[0], drawing.large
    picture = large.decode(clean, size)
    return {
        "step": seconds(lambda: large.denoise(batch)),
        "decode": seconds(lambda: large.decode(clean, size)),
        "decode linear": seconds(lambda: drawing.linear.decode(clean[None])),
        "score": seconds(lambda: drawing.scorer.score([picture], [prompt])),
    }


@click.group()
def main() -> None:
    """Whether a look at a third of the steps pays."""


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--prompts", default=216)
@click.option("--seeds", default=2)
def draw(file: Path, prompts: int, seeds: int) -> None:
    """Draw, probe, finish in each way, score; kept in FILE."""
    torch.set_num_threads(1)
    asked = read_quality(ROOT / "profiles" / "embedded" / "quality.csv").prompts[:prompts]
    drawing = Drawing(load_family("embedded"))
    taken: dict[str, Any] = {f"seconds {name}": np.array(s) for name, s in costs(drawing, asked[0]).items()}
    found: dict[str, list[float]] = {}
    together = TOGETHER // seeds
    for start in range(0, len(asked), together):
        part = asked[start : start + together]
        rows = [FIRST_SEED * (seed + 1) + start + i for i in range(len(part)) for seed in range(seeds)]
        for name, scores in drawing.all_scores([prompt for prompt in part for _ in range(seeds)], rows).items():
            found.setdefault(name, []).extend(scores)
        arrays: dict[str, Any] = {name: np.array(s, np.float32).reshape(-1, seeds) for name, s in found.items()}
        np.savez_compressed(file, prompts=np.array(asked[: start + len(part)]), **arrays, **taken)
        click.echo(f"{start + len(part)} of {len(asked)}")


main.add_command(report)

if __name__ == "__main__":
    main()
