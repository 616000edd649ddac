"""How good the family is: the quality table, the model card's figures, the pages of pictures.

    python -m families.embedded.evaluate [--prompts 500] [--card docs/model-card.md] [--threads 1]

Held-out prompts are drawn at every level with the same seeds, judged by the scorer and by looking at pixels. Levels that need the
engine (approximate caching, feature caches) are left to `bench`. Relative quality is score / score of the reference level; where the
reference itself scores under `FLOOR` (it could not draw the prompt) the floor divides instead, so that noise is not blown up, and
values above `CEILING` are cut.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from core.families import ROOT, Family, load_family
from core.text import shared_encoder
from families.embedded import pixels, words
from families.embedded.budget import Budget, load_budget
from families.embedded.checksums import digest
from families.embedded.judge import Judge, load_judge, prepare
from families.embedded.model import EMPTY_PROMPT, WEIGHTS, EmbeddedMember, load_member
from families.embedded.pool import held_out, pictures_of
from families.embedded.sample import noise_of, sample
from families.embedded.scenes import Scene, render

FLOOR, CEILING = 0.5, 1.5
WEIGHT = 2.5  # CLIPScore's (Hessel et al. 2021, eq. 1)
BATCH = 20
FIRST_SEED = 1000
STRATEGIES = ("exact", "sm", "fs")
DRAWN = Path(__file__).parent / "runs" / "drawn"
CARD = ROOT / "docs" / "model-card.md"
PICTURES = ROOT / "docs" / "img"
TABLE = ROOT / "profiles" / "embedded" / "quality.csv"
BEGIN, END = "<!-- measured by families.embedded.evaluate -->", "<!-- end -->"


@dataclass
class Drawn:
    """What one level drew: pictures (N, size, size, 3), their scores, seconds an image when drawn alone."""

    pictures: np.ndarray
    scores: np.ndarray
    seconds: float


@dataclass
class Evaluation:
    """Everything measured. `figures` are (measure, goal, value) rows as the card shows them."""

    scenes: list[Scene]
    levels: dict[str, Drawn]
    relative: dict[str, np.ndarray]
    figures: list[tuple[str, str, str]]


def run(n: int = 500, card: Path | None = None, out: Path = TABLE, budget_name: str = "cpu") -> Evaluation:
    """Draw, judge, write the table `out` and, with `card`, the card's figures and both pictures."""
    family, budget = load_family("embedded"), load_budget(budget_name)
    judge = load_judge(WEIGHTS / "scorer")
    scenes = held_out(budget, n)
    levels = {}
    for level in family.levels.values():
        if level.strategy in STRATEGIES:
            levels[level.id] = draw(family, level.id, scenes, judge)
            print(
                f"{level.id}: {levels[level.id].scores.mean():.3f}, {levels[level.id].seconds:.2f} s an image",
                flush=True,
            )
    relative = {name: relative_quality(drawn.scores, levels[family.reference].scores) for name, drawn in levels.items()}
    answer = Evaluation(scenes, levels, relative, [])
    answer.figures = figures(answer, family, budget, judge)
    write_table(answer, out)
    if card:
        write_card(answer, card)
        PICTURES.mkdir(parents=True, exist_ok=True)
        side_by_side(answer).save(PICTURES / "sheet.png", optimize=True)
        gallery(answer, family.reference).save(PICTURES / "gallery.png", optimize=True)
    return answer


# --- drawing ---------------------------------------------------------------------------------------------------------------


def draw(family: Family, level_id: str, scenes: Sequence[Scene], judge: Judge) -> Drawn:
    """All scenes' prompts at one level, the i-th with seed 1000 + i."""
    level = family.level(level_id)
    steps, _ = level.schedule(family.defaults.steps, family.defaults.steps)
    folder, guidance = Path(family.models[level.model].location), family.defaults.guidance
    member = load_member(folder)
    prompts = [scene.prompt for scene in scenes]
    drawn = _remembered(
        f"{digest(folder / 'diffusion_pytorch_model.safetensors')}-{steps}-{guidance}-{prompts}",
        lambda: _all_pictures(member, prompts, steps, guidance),
    )
    return Drawn(drawn, scores(judge, drawn, prompts), seconds_alone(member, prompts[:5], steps, guidance))


def _all_pictures(member: EmbeddedMember, prompts: Sequence[str], steps: int, guidance: float) -> np.ndarray:
    starts = range(0, len(prompts), BATCH)
    seeds = range(FIRST_SEED, FIRST_SEED + len(prompts))
    return np.concatenate(
        [pictures(member, prompts[i : i + BATCH], seeds[i : i + BATCH], steps, guidance, True) for i in starts]
    )


def _remembered(key: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Pictures once drawn from the same weights are kept, so that judging again costs no drawing."""
    path = DRAWN / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        DRAWN.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, pictures=make())
    with np.load(path) as kept:
        return kept["pictures"]


def pictures(
    member: EmbeddedMember,
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int,
    guidance: float,
    half: bool = False,
) -> np.ndarray:
    """Pictures (B, 128, 128, 3) in uint8, as the engine would draw them; `half` multiplies in bfloat16."""
    noise = noise_of(seeds, member.codec.latent_shape)
    text, empty = member.text.tokens(prompts), member.text.tokens([EMPTY_PROMPT])
    shift = member.scheduler_config["shift"]
    denoiser = member.denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        latents = sample(denoiser, noise, text, empty, steps, shift, guidance if member.guided else 1.0)
    return member.codec.decode(latents.float()).numpy()


def seconds_alone(member: EmbeddedMember, prompts: Sequence[str], steps: int, guidance: float) -> float:
    """Median seconds from prompt to picture, one at a time."""
    times = []
    for seed, prompt in enumerate(prompts):
        started = time.perf_counter()
        pictures(member, [prompt], [seed], steps, guidance)
        times.append(time.perf_counter() - started)
    return float(np.median(times))


# --- judging ---------------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def seen(judge: Judge, drawn: np.ndarray) -> Tensor:
    """Unit image vectors (N, D) of pictures (N, H, W, 3)."""
    return torch.cat([judge.pictures(torch.stack([prepare(Image.fromarray(p), judge.side)])) for p in drawn])


@torch.inference_mode()
def read(judge: Judge, prompts: Sequence[str]) -> Tensor:
    """Unit text vectors (N, D)."""
    blocks = [prompts[start : start + 100] for start in range(0, len(prompts), 100)]
    return torch.cat([judge.texts(*shared_encoder().tokens(block)) for block in blocks])


def scores(judge: Judge, drawn: np.ndarray, prompts: Sequence[str]) -> np.ndarray:
    """CLIPScores (N,)."""
    return (WEIGHT * (seen(judge, drawn) * read(judge, prompts)).sum(-1).clamp(min=0)).numpy()


def relative_quality(score: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Score over the reference's, with floor and ceiling as the module's docstring says."""
    return (
        np.minimum(np.maximum(score, 0) / np.maximum(reference, FLOOR), CEILING)
        if score is not reference
        else np.ones_like(score)
    )


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


def figures(answer: Evaluation, family: Family, budget: Budget, judge: Judge) -> list[tuple[str, str, str]]:
    """The goal table: measure, goal on a CPU budget, what came out."""
    scenes, exact = answer.scenes, answer.levels[family.reference]
    ground = [pixels.ground_is(p, s.background) for s, p in zip(scenes, exact.pictures, strict=True) if s.named]
    right = np.array([pixels.things_in(p) == len(s.things) for s, p in zip(scenes, exact.pictures, strict=True)])
    several = np.array([len(scene.things) > 1 for scene in scenes])
    order = sorted(answer.levels, key=lambda name: -answer.levels[name].seconds)
    means = [float(answer.relative[name].mean()) for name in order]
    middle = order[len(order) // 2]
    near = float((answer.relative[middle] >= 0.98).mean())
    cheapest = answer.levels[order[-1]].seconds
    return [
        (
            "scorer: text→image retrieval of real held-out scenes, top-1 of 100",
            "≥ 80 %",
            f"{retrieval(judge, budget):.0%}",
        ),
        (
            f"`large`: single things recognised, top-5 of {len(budget.names)} names",
            "≥ 50 %",
            f"{recognised(judge, budget, scenes, exact.pictures):.0%}",
        ),
        ("backgrounds right, where the prompt names one (pixels)", "≥ 90 %", f"{np.mean(ground):.0%}"),
        ("counts right, all prompts (pixels)", "≥ 60 %", f"{right.mean():.0%}"),
        ("counts right, prompts of several things (pixels)", "", f"{right[several].mean():.0%}"),
        ("counts right on real scenes: the check itself", "", f"{eyesight(budget):.0%}"),
        ("seconds an image, one core, `exact`", "≤ 2.0", f"{exact.seconds:.2f}"),
        (f"cheapest level (`{order[-1]}`): times as fast as `exact`", "≥ 8", f"{exact.seconds / cheapest:.0f}"),
        (f"mean relative quality of the cheapest level (`{order[-1]}`)", "≥ 70 %", f"{means[-1]:.0%}"),
        (
            "mean relative quality strictly ordered by cost",
            "yes",
            "yes" if all(a > b for a, b in pairwise(means)) else "no",
        ),
        (f"prompts within 2 % of `exact` at the middle level (`{middle}`)", "30…80 %", f"{near:.0%}"),
    ]


# --- writing ---------------------------------------------------------------------------------------------------------------


def write_table(answer: Evaluation, path: Path) -> None:
    """`prompt,<level>,<level>…`, relative quality a cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["prompt", *answer.relative])
        for row, scene in enumerate(answer.scenes):
            writer.writerow([scene.prompt, *(f"{values[row]:.4f}" for values in answer.relative.values())])


def table(answer: Evaluation) -> str:
    """Both tables of the card in Markdown."""
    lines = [
        f"On {len(answer.scenes)} held-out prompts, one CPU thread; drawn in bfloat16 mixed precision, timed in float32:",
        "",
        "| measure | goal | measured |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {measure} | {goal} | {value} |" for measure, goal, value in answer.figures]
    lines += [
        "",
        "| level | seconds an image | mean CLIPScore | mean relative quality | prompts within 2 % of `exact` |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, drawn in sorted(answer.levels.items(), key=lambda item: -item[1].seconds):
        relative = answer.relative[name]
        lines.append(
            f"| `{name}` | {drawn.seconds:.2f} | {drawn.scores.mean():.3f} | {relative.mean():.3f} | {(relative >= 0.98).mean():.0%} |"
        )
    return "\n".join(lines)


def write_card(answer: Evaluation, path: Path) -> None:
    """Replace what stands between the card's markers."""
    text = path.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{table(answer)}\n{END}{after}")


def side_by_side(answer: Evaluation, rows: int = 10) -> Image.Image:
    """Prompts down, levels across: the same seed in each row."""
    levels = sorted(answer.levels, key=lambda name: -answer.levels[name].seconds)
    chosen = _varied(answer.scenes, rows)
    side = answer.levels[levels[0]].pictures.shape[1]
    page = Image.new("RGB", (320 + side * len(levels), 24 + side * rows), "white")
    pen = ImageDraw.Draw(page)
    for column, name in enumerate(levels):
        pen.text((324 + column * side, 6), name, fill="black")
        for line, row in enumerate(chosen):
            page.paste(Image.fromarray(answer.levels[name].pictures[row]), (320 + column * side, 24 + line * side))
    for line, row in enumerate(chosen):
        pen.multiline_text((6, 24 + line * side + side // 3), _wrapped(answer.scenes[row].prompt), fill="black")
    return page


def gallery(answer: Evaluation, level: str, columns: int = 8, rows: int = 4) -> Image.Image:
    """The first prompts of each kind at one level, not picked by score."""
    chosen = _varied(answer.scenes, columns * rows)
    drawn = answer.levels[level].pictures[chosen]
    return Image.fromarray(
        np.concatenate([np.concatenate(list(drawn[r * columns : (r + 1) * columns]), 1) for r in range(rows)], 0)
    )


def _varied(scenes: Sequence[Scene], count: int) -> list[int]:
    """Rows of the first `count` scenes, two of three single things or counts."""
    simple = [row for row, scene in enumerate(scenes) if scene.kind in ("single", "count")]
    hard = [row for row, scene in enumerate(scenes) if scene.kind not in ("single", "count")]
    return sorted(simple[: count - count // 3] + hard[: count // 3])[:count]


def _wrapped(text: str, width: int = 48) -> str:
    lines = [""]
    for word in text.split():
        lines = [*lines[:-1], f"{lines[-1]} {word}".strip()] if len(lines[-1]) + len(word) < width else [*lines, word]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Judge the embedded family.")
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument(
        "--card", nargs="?", type=Path, const=CARD, help="write the figures into the model card, and its pictures"
    )
    parser.add_argument("--out", type=Path, default=TABLE)
    parser.add_argument("--budget", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(table(run(arguments.prompts, arguments.card, arguments.out, arguments.budget)))


if __name__ == "__main__":
    main()
