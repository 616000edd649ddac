"""The model card's figures: what the family can draw, checked by the scorer and by looking at pixels.

`argus evaluate --card` (workers/measure/evaluate.py draws) fills in docs/model-card.md and both of its pictures.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.settings import ROOT
from core.text import shared_encoder
from families.embedded import pixels, words
from families.embedded.budget import Budget, load_budget
from families.embedded.judge import Judge, load_judge, prepare
from families.embedded.model import WEIGHTS
from families.embedded.pool import held_out, pictures_of
from families.embedded.scenes import Scene, render

CARD = ROOT / "docs" / "model-card.md"
PICTURES = ROOT / "docs" / "img"
BEGIN, END = "<!-- measured by argus evaluate -->", "<!-- end -->"
JUDGED = 500  # prompts that levels are judged on; those after them are for training
GALLERY = (8, 4)  # columns, rows


class Level(Protocol):
    """What a level drew: scores (P, S), the first seed's pictures (P, H, W, 3), seconds an image."""

    @property
    def scores(self) -> np.ndarray: ...
    @property
    def pictures(self) -> np.ndarray: ...
    @property
    def seconds(self) -> float: ...


class Drawn(Protocol):
    """Every level on the prompts of `prompts`, as `workers.measure.evaluate` measured them; `by_cost` has the dearest first."""

    @property
    def levels(self) -> Mapping[str, Level]: ...
    @property
    def by_cost(self) -> list[str]: ...
    def relative(self, level_id: str) -> np.ndarray: ...


def scenes(count: int) -> list[Scene]:
    """The scenes whose prompts are judged."""
    return held_out(load_budget("cpu"), count)


def prompts(count: int, others: int) -> list[str]:
    """The prompts that are judged, then others of the same make."""
    judged = [scene.prompt for scene in scenes(count)]
    more = dict.fromkeys(scene.prompt for scene in held_out(load_budget("cpu"), others + count, seed=78))
    return [*judged, *[prompt for prompt in more if prompt not in set(judged)][:others]]


def beyond(count: int) -> list[str]:
    """Prompts of the same make that are not judged: what a predictor is trained on."""
    return [scene.prompt for scene in scenes(JUDGED + count)[JUDGED:]]


@torch.inference_mode()
def seen(judge: Judge, drawn: np.ndarray) -> Tensor:
    """Unit image vectors (N, D) of pictures (N, H, W, 3)."""
    return torch.cat([judge.pictures(torch.stack([prepare(Image.fromarray(p), judge.side)])) for p in drawn])


@torch.inference_mode()
def read(judge: Judge, prompts: Sequence[str]) -> Tensor:
    """Unit text vectors (N, D)."""
    blocks = [prompts[start : start + 100] for start in range(0, len(prompts), 100)]
    return torch.cat([judge.texts(*shared_encoder().tokens(block)) for block in blocks])


@torch.inference_mode()
def retrieval(judge: Judge, budget: Budget, groups: int = 5, size: int = 100) -> float:
    """Share of prompts whose own picture, a real held-out scene, comes first among 100."""
    scenes = held_out(budget, groups * size, seed=31)
    images = judge.pictures(pictures_of(scenes, judge.side, random.Random(4))).split(size)
    texts = read(judge, [scene.prompt for scene in scenes]).split(size)
    hits = [(t @ i.T).argmax(1) == torch.arange(size) for t, i in zip(texts, images, strict=True)]
    return float(torch.cat(hits).float().mean())


def eyesight(budget: Budget, count: int = 300) -> float:
    """Share of real scenes whose things `pixels.things_in` counts right: what the check itself is good for."""
    scenes, rng = held_out(budget, count, seed=32), random.Random(5)
    return float(np.mean([pixels.things_in(render(scene, rng)) == len(scene.things) for scene in scenes]))


def recognised(judge: Judge, budget: Budget, scenes: Sequence[Scene], drawn: np.ndarray, top: int = 5) -> float:
    """Share of single things whose name is among the scorer's first five of all names."""
    labels = list(budget.names)
    names = read(judge, [words.article(words.names_of(label)[0]) for label in labels])
    single = [row for row, scene in enumerate(scenes) if scene.kind == "single"]
    best = (seen(judge, drawn[single]) @ names.T).topk(min(top, len(labels))).indices
    hits = [
        labels.index(scenes[row].things[0].label) in found for row, found in zip(single, best.tolist(), strict=True)
    ]
    return float(np.mean(hits))


def figures(drawn: Drawn, reference: str, budget: Budget, scenes: Sequence[Scene]) -> list[tuple[str, str, str]]:
    """The goal table: measure, goal on a CPU budget, what came out."""
    judge, exact = load_judge(WEIGHTS / "scorer"), drawn.levels[reference]
    ground = [pixels.ground_is(p, s.background) for s, p in zip(scenes, exact.pictures, strict=True) if s.named]
    right = np.array([pixels.things_in(p) == len(s.things) for s, p in zip(scenes, exact.pictures, strict=True)])
    several = np.array([len(scene.things) > 1 for scene in scenes])
    order = drawn.by_cost
    means = [float(drawn.relative(name).mean()) for name in order]
    middle, cheapest = order[len(order) // 2], order[-1]
    ordered = "yes" if all(a > b for a, b in pairwise(means)) else "no"
    found = recognised(judge, budget, scenes, exact.pictures)
    return [
        ("scorer: text→image retrieval of real held-out scenes, top-1 of 100", "≥ 80 %", f"{retrieval(judge, budget):.0%}"),
        (f"`large`: single things recognised, top-5 of {len(budget.names)} names", "≥ 50 %", f"{found:.0%}"),
        ("backgrounds right, where the prompt names one (pixels)", "≥ 90 %", f"{np.mean(ground):.0%}"),
        ("counts right, all prompts (pixels)", "≥ 60 %", f"{right.mean():.0%}"),
        ("counts right, prompts of several things (pixels)", "", f"{right[several].mean():.0%}"),
        ("counts right on real scenes: the check itself", "", f"{eyesight(budget):.0%}"),
        ("seconds an image, one core, `exact`", "≤ 2.0", f"{exact.seconds:.2f}"),
        (f"cheapest level (`{cheapest}`): times as fast as `exact`", "≥ 8", f"{exact.seconds / drawn.levels[cheapest].seconds:.1f}"),
        (f"mean relative quality of the cheapest level (`{cheapest}`)", "≥ 70 %", f"{means[-1]:.0%}"),
        ("mean relative quality strictly ordered by cost", "yes", ordered),
        (f"prompts within 2 % of `exact` at the middle level (`{middle}`)", "30…80 %", f"{(drawn.relative(middle) >= 0.98).mean():.0%}"),
    ]  # fmt: skip


def write(drawn: Drawn, reference: str, scenes: Sequence[Scene], levels: str, page: Image.Image, made: str) -> str:
    """Replace what stands between the card's markers, and both pictures; answers what was written.

    `levels` is the table of levels, `page` the side-by-side picture, `made` says on what and when it was measured.
    """
    prompts, seeds = drawn.levels[reference].scores.shape
    rows = [
        f"| {measure} | {goal} | {value} |"
        for measure, goal, value in figures(drawn, reference, load_budget("cpu"), scenes)
    ]
    text = "\n".join(
        [f"On {prompts} held-out prompts with {seeds} seeds each (pictures of the first). {made}", "",
         "| measure | goal | measured |", "| --- | --- | --- |", *rows, "", levels]
    )  # fmt: skip
    before, rest = CARD.read_text().split(BEGIN)
    CARD.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.save(PICTURES / "sheet.png", optimize=True)
    gallery(drawn.levels[reference].pictures, scenes).save(PICTURES / "gallery.png", optimize=True)
    return text


def gallery(pictures: np.ndarray, scenes: Sequence[Scene]) -> Image.Image:
    """The first prompts of each kind, not picked by score."""
    columns, rows = GALLERY
    chosen = pictures[varied(scenes, columns * rows)]
    return Image.fromarray(
        np.concatenate([np.concatenate(list(chosen[r * columns : (r + 1) * columns]), 1) for r in range(rows)], 0)
    )


def varied(scenes: Sequence[Scene], count: int) -> list[int]:
    """Rows of the first `count` scenes, two of three single things or counts."""
    simple = [row for row, scene in enumerate(scenes) if scene.kind in ("single", "count")]
    hard = [row for row, scene in enumerate(scenes) if scene.kind not in ("single", "count")]
    return sorted(simple[: count - count // 3] + hard[: count // 3])[:count]
