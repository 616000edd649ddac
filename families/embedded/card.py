"""The model card's figures: what the family can draw, checked by the scorer and by looking at pixels.

`argus evaluate --card` (workers/measure/evaluate.py draws) fills in docs/model-card.md and both of its pictures.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from functools import cache, partial
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.settings import ROOT
from families.embedded import pixels
from families.embedded.clip_scorer import ClipScorer, load_scorer, prepare
from families.embedded.everyday import check, everyday, read
from families.embedded.model import WEIGHTS, load_member
from families.embedded.recipe import scenes as recipe
from families.embedded.recipe import words
from families.embedded.recipe.scenes import Scene
from families.embedded.sample import pictures

CARD = ROOT / "docs" / "model-card.md"
PICTURES = ROOT / "docs" / "img"
NAMES = ROOT / "profiles" / "embedded" / "names.csv"
BEGIN, END = "<!-- measured by argus evaluate -->", "<!-- end -->"
GALLERY = (8, 4)  # columns, rows of everyday prompts
THUMBNAIL = 144  # pixels a side
SEEDS = 2  # pictures of each everyday prompt
TOGETHER = 20  # pictures drawn at once


class Level(Protocol):
    """What a level drew: scores (P, S), the first seed's pictures (P, H, W, 3), seconds an image."""

    @property
    def scores(self) -> np.ndarray: ...
    @property
    def pictures(self) -> np.ndarray: ...
    @property
    def seconds(self) -> float: ...


class Drawn(Protocol):
    """Every level on the prompts of `prompts`, as `workers.measure.evaluate` drew them; `by_cost`: dearest first."""

    @property
    def levels(self) -> Mapping[str, Level]: ...
    @property
    def by_cost(self) -> list[str]: ...
    def relative(self, level_id: str) -> np.ndarray: ...


# --- what is drawn ---------------------------------------------------------------------------------------------------


def scenes(count: int) -> list[Scene]:
    """The scenes whose prompts are judged: compositions never trained on, and single things."""
    return recipe.held_out_scenes(count)


def prompts(count: int, others: int) -> list[str]:
    """The prompts that are judged, then others of the same make."""
    judged = [scene.prompt for scene in scenes(count)]
    more = [scene.prompt for scene in recipe.held_out_scenes(others + count, seed=78)]
    return [*judged, *[prompt for prompt in more if prompt not in set(judged)][:others]]


def beyond(count: int) -> list[str]:
    """Other prompts of the same make, none of them judged: what a predictor is trained on."""
    return list(dict.fromkeys(recipe.training_scenes(2 * count, seed=3)[0]))[:count]


@cache
def everyday_pictures() -> np.ndarray:
    """The everyday prompts at the default steps and guidance (P, S, 256, 256, 3), in uint8."""
    member, asked = load_member(WEIGHTS / "large"), [one.prompt for one in everyday()]
    blocks = [(seed, start) for seed in range(SEEDS) for start in range(0, len(asked), TOGETHER)]
    drawn = [
        pictures(member, asked[start : start + TOGETHER], [1000 * seed + start + n for n in range(TOGETHER)], 12, 2.0)
        for seed, start in blocks
    ]
    return np.concatenate(drawn).reshape(SEEDS, len(asked), *drawn[0].shape[1:]).swapaxes(0, 1)


@torch.inference_mode()
def seen(scorer: ClipScorer, drawn: np.ndarray) -> Tensor:
    """The scorer's unit vectors (N, space) of pictures (N, H, W, 3)."""
    return scorer.pictures(torch.stack([prepare(Image.fromarray(picture), scorer.side) for picture in drawn]))


# --- figures ---------------------------------------------------------------------------------------------------------


def figures(drawn: Drawn, reference: str, judged: Sequence[Scene]) -> list[tuple[str, str, str]]:
    """The goal table: measure, goal, what came out."""
    scorer, exact = load_scorer(WEIGHTS / "scorer"), drawn.levels[reference]
    vectors = [seen(scorer, some) for some in everyday_pictures()]
    shown = check(partial(read, scorer), dict(zip(everyday(), vectors, strict=True)))
    return [
        *_names_alone(),
        ("everyday prompts: things recognised, top-1 of all names", "≥ 85 %", f"{shown['things, top-1']:.0%}"),
        ("everyday prompts: things recognised, top-5", "≥ 97 %", f"{shown['things, top-5']:.0%}"),
        ("everyday prompts: counts right, of one to four", "≥ 85 %", f"{shown['counts']:.0%}"),
        ("everyday prompts: places right, of fourteen", "≥ 95 %", f"{shown['places']:.0%}"),
        *_by_pixels(exact.pictures, judged),
        *_of_levels(drawn, exact.seconds),
    ]


def _names_alone() -> list[tuple[str, str, str]]:
    """How often names on a plain ground are recognised, as the run that made the weights measured it."""
    with NAMES.open(newline="") as file:
        rows = list(csv.DictReader(file))
    shares = {
        way: [np.mean([float(row[f"{way} top-{top}"]) for row in rows]) for top in (1, 5)] for way in ("exact", "real")
    }
    first, pictures = (f"{shares[way][0]:.0%} / {shares[way][1]:.0%}" for way in ("exact", "real"))
    return [
        (f"names alone recognised, top-1 / top-5 of all {len(rows)}", "≥ 85 / 97 %", first),
        ("the training's own pictures of them, top-1 / top-5", "", pictures),
    ]


def _by_pixels(drawn: np.ndarray, judged: Sequence[Scene]) -> list[tuple[str, str, str]]:
    """Grounds and counts of held-out prompts on plain grounds."""
    plain = [(p, s) for p, s in zip(drawn, judged, strict=True) if words.GROUNDS[s.plan.ground].plain]
    grounds = [pixels.ground_is(p, words.GROUNDS[s.plan.ground].name) for p, s in plain if s.plan.named]
    counts = [pixels.things_in(p) == len(s.things) for p, s in plain]
    return [
        ("held-out prompts: plain grounds right, where named (pixels)", "≥ 90 %", f"{np.mean(grounds):.0%}"),
        ("held-out prompts on plain grounds: counts right (pixels)", "", f"{np.mean(counts):.0%}"),
    ]


def _of_levels(drawn: Drawn, exact_s: float) -> list[tuple[str, str, str]]:
    order = drawn.by_cost
    means = [float(drawn.relative(name).mean()) for name in order]
    cheapest, ratio = order[-1], exact_s / drawn.levels[order[-1]].seconds
    ordered = "yes" if all(a > b for a, b in pairwise(means)) else "no"
    return [
        ("seconds an image, one core, `exact`", "≤ 1.0", f"{exact_s:.2f}"),
        (f"cheapest level (`{cheapest}`): times as fast as `exact`", "≥ 8", f"{ratio:.1f}"),
        (f"mean relative quality of the cheapest level (`{cheapest}`)", "≥ 85 %", f"{means[-1]:.0%}"),
        ("mean relative quality strictly ordered by cost", "yes", ordered),
    ]  # fmt: skip


# --- the page --------------------------------------------------------------------------------------------------------


def write(drawn: Drawn, reference: str, judged: Sequence[Scene], levels: str, page: Image.Image, made: str) -> str:
    """Replace what stands between the card's markers, and both pictures; answers what was written.

    `levels` is the table of levels, `page` the side-by-side picture, `made` says on what and when it was measured.
    """
    count, seeds = drawn.levels[reference].scores.shape
    rows = [f"| {measure} | {goal} | {value} |" for measure, goal, value in figures(drawn, reference, judged)]
    text = "\n".join(
        [f"On {count} held-out prompts with {seeds} seeds each (pictures of the first). {made}", "",
         "| measure | goal | measured |", "| --- | --- | --- |", *rows, "", levels]
    )  # fmt: skip
    before, rest = CARD.read_text().split(BEGIN)
    CARD.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.reduce(2).save(PICTURES / "sheet.png", optimize=True)
    gallery().save(PICTURES / "gallery.png", optimize=True)
    return text


def gallery() -> Image.Image:
    """Every third everyday prompt, drawn by the first seed: not picked by looking."""
    columns, rows = GALLERY
    chosen = everyday_pictures()[::3, 0][: columns * rows]
    page = Image.new("RGB", (columns * THUMBNAIL, rows * THUMBNAIL))
    for place, picture in enumerate(chosen):
        small = Image.fromarray(picture).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
        page.paste(small, (place % columns * THUMBNAIL, place // columns * THUMBNAIL))
    return page


def varied(judged: Sequence[Scene], count: int) -> list[int]:
    """Rows of the first `count` scenes, two of three single things or counts."""
    simple = [row for row, scene in enumerate(judged) if scene.plan.kind in ("single", "count")]
    hard = [row for row, scene in enumerate(judged) if scene.plan.kind not in ("single", "count")]
    return sorted(simple[: count - count // 3] + hard[: count // 3])[:count]
