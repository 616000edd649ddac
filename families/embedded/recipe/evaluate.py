"""What came out, as the scorer sees it: every way of drawing, on held-out and on fresh prompts; names recognised; a
report.

Writes `scores/`: `scores.npz` with CLIPScores in float16, NaN where time ran out; the prompts, one a line;
`names.csv`, how often each name is recognised; `report.json`.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from families.embedded.everyday import Everyday, Reader, check
from families.embedded.recipe import data, scenes, words
from families.embedded.recipe.draw import Way, clip_score, draw, read, score, seen
from families.embedded.recipe.everyday_scenes import everyday_scenes
from families.embedded.recipe.names import catalogue
from families.embedded.recipe.painter import Layout
from families.embedded.recipe.run import Run
from families.embedded.recipe.stage import say

# name → (member, steps, guidance); the reference first, then by arithmetic
WAYS: dict[str, Way] = {
    "exact": Way("large", 12, 2.0),
    **{f"large-{steps}": Way("large", steps, 2.0) for steps in (6, 4)},
    **{f"dit-{steps}": Way("dit", steps, 2.0) for steps in (12, 6, 4)},
    "plain-12": Way("large", 12, 1.0),
    **{f"turbo-{steps}": Way("turbo", steps, 1.0) for steps in (4, 2, 1)},
    **{f"medium-{steps}": Way("medium", steps, 1.0) for steps in (4, 2, 1)},
    **{f"small-{steps}": Way("small", steps, 1.0) for steps in (4, 2)},
    "turbo-half": Way("turbo", 1, 1.0, half=True),
    "medium-half": Way("medium", 1, 1.0, half=True),
}
NAMED = ("exact", "dit-12", "turbo-4", "turbo-1", "medium-4", "medium-half")
FLOOR, CEILING = 0.5, 1.5  # of relative quality, as in `argus profile`


def evaluate(run: Run) -> None:
    """All of it in the stage's seconds; fresh prompts are scored for as long as there is time."""
    finish = time.monotonic() + run.seconds("evaluate")
    ways = {name: way for name, way in WAYS.items() if way[0] in run.members}
    report: dict[str, Any] = {"ways": list(ways), "names": len(catalogue()), "scorer": retrieval(run)}
    report["recognised"] = recognised(run, {name: ways[name] for name in NAMED if name in ways})
    say("recognised:", report["scorer"], report["recognised"])
    report["half size"] = {
        name: round(score(run, way, side=run.sides[1]), 4) for name, way in ways.items() if not way.half
    }
    say("half size:", report["half size"])
    prompts = [scene.prompt for scene in run.held_out]
    held_out = score_all(run, ways, prompts, run.plan.held_out_seeds, finish, 0)
    report["held out"] = summary(held_out, list(ways))
    tell("held out", report["held out"])
    report["by kind"] = by_kind(run.held_out, held_out, list(ways))
    _write(run, report, held_out=held_out)
    report["everyday"] = everyday_shares(run, {name: ways[name] for name in NAMED if name in ways})
    say("everyday:", report["everyday"])
    fresh = score_all(run, ways, run.fresh, run.plan.fresh_seeds, finish - 1.0, 1)
    report["fresh"], report["fresh scored"] = (
        summary(fresh, list(ways)),
        int(np.isfinite(fresh[..., 0].astype(float)).sum()),
    )
    tell(f"{report['fresh scored']} fresh pictures a way", report["fresh"])
    _write(run, report, held_out=held_out, fresh=fresh)


def score_all(run: Run, ways: dict[str, Way], prompts: list[str], seeds: int, until: float, salt: int) -> np.ndarray:
    """CLIPScores (P, S, L) of all ways from the same noise, seed by seed; NaN where time ran out."""
    found = np.full((len(prompts), seeds, len(ways)), np.nan, np.float16)
    for seed in range(seeds):
        for number, part in enumerate(data.parts(len(prompts), run.plan.together)):
            if time.monotonic() > until:
                return found
            text, wanted = run.encoder.tokens(prompts[part]), read(run, prompts[part])
            noise = 1_000_000 * salt + 1000 * seed + number
            columns = [clip_score(seen(run, draw(run, way, text, noise)), wanted) for way in ways.values()]
            found[part, seed] = torch.stack(columns, -1).half().cpu().numpy()
    return found


def retrieval(run: Run, size: int = 100) -> dict[str, float]:
    """Share of prompts whose own picture, a real held-out scene, is first among `size`; their mean score."""
    images, texts = painted(run, run.held_out), read(run, [scene.prompt for scene in run.held_out])
    hits = [
        (t @ i.T).argmax(1).cpu() == torch.arange(len(t))
        for t, i in zip(texts.split(size), images.split(size), strict=True)
    ]
    return {
        "top-1 of 100": round(float(torch.cat(hits).float().mean()), 4),
        "real scenes": round(float(clip_score(images, texts).mean()), 4),
    }


def painted(run: Run, some: Sequence[scenes.Scene]) -> Tensor:
    """The scorer's vectors (B, space) of real scenes."""
    layout = Layout.of(scenes.layout(list(some)), run.device)
    slices = data.parts(len(layout), data.PAINTED)
    return torch.cat([seen(run, run.painter.paint(layout[part], run.plan.pixels, run.rng)) for part in slices])


# --- single things ---------------------------------------------------------------------------------------------------


def singles(run: Run) -> list[str]:
    """Every name alone on a plain ground, as a prompt."""
    names = catalogue()[: run.plan.named]
    return [f"{words.article(name.called[0])} on a light grey background" for name in names]


def recognised(run: Run, ways: dict[str, Way]) -> dict[str, dict[str, float]]:
    """How often the name asked for is the scorer's first, or among its first five, of all; a table of names beside."""
    texts, seeds, table = read(run, singles(run)), run.plan.named_seeds, {"real": recognised_real(run)}
    for name, way in ways.items():
        table[name] = _ranks(run, way, texts, seeds if name == "exact" else seeds // 4)
    _write_names(run, table)
    return {name: {"top-1": _share(ranks < 1), "top-5": _share(ranks < 5)} for name, ranks in table.items()}


def recognised_real(run: Run) -> np.ndarray:
    """The ranks (N, 1) of names for real pictures: what the check itself is good for."""
    ground = next(number for number, ground in enumerate(words.GROUNDS) if ground.name == "light grey")
    plans = [scenes.Plan("single", (name,), 2, 0, "normal", ground, True) for name in range(len(singles(run)))]
    pictures = painted(run, [scenes.Scene(plan, "", ((plan.names[0], (0.5, 0.5, 0.72)),)) for plan in plans])
    return _rank(pictures, read(run, singles(run)))[:, None]


def _ranks(run: Run, way: Way, texts: Tensor, seeds: int) -> np.ndarray:
    """Ranks (N, S) of the names asked for; 0 is first."""
    prompts, columns = singles(run), []
    for seed in range(seeds):
        images = []
        for number, part in enumerate(data.parts(len(prompts), run.plan.together)):
            text = run.encoder.tokens(prompts[part])
            images.append(seen(run, draw(run, way, text, 7000 + 100 * seed + number)))
        columns.append(_rank(torch.cat(images), texts))
    return np.stack(columns, 1)


def _rank(images: Tensor, texts: Tensor) -> np.ndarray:
    """How many other texts each image (N, space) is nearer to than to its own of (N, space)."""
    near = images @ texts.T
    return (near > near.diagonal()[:, None]).sum(1).cpu().numpy()


def _share(hits: np.ndarray) -> float:
    return round(float(hits.mean()), 4)


def _write_names(run: Run, table: dict[str, np.ndarray]) -> None:
    folder = run.folder / "scores"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "names.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", *(f"{way} top-{top}" for way in table for top in (1, 5))])
        for row, name in enumerate(catalogue()[: run.plan.named]):
            shares = [_share(ranks[row] < top) for ranks in table.values() for top in (1, 5)]
            writer.writerow([name.called[0], *(f"{share:.3g}" for share in shares)])


# --- everyday prompts ------------------------------------------------------------------------------------------------


def everyday_shares(run: Run, ways: dict[str, Way]) -> dict[str, dict[str, float]]:
    """What is shown as asked of the everyday prompts, in pictures of the training's own and drawn in some ways."""
    asked = everyday_scenes()
    if not asked:
        return {}
    prompts = [one.prompt for one in asked]
    text, seeds = run.encoder.tokens(prompts), run.plan.named_seeds // 4
    vectors = {"real": [painted(run, list(asked.values())) for _ in range(seeds)]}
    for name, way in ways.items():
        vectors[name] = [seen(run, draw(run, way, text, 9000 + seed)) for seed in range(seeds)]
    reader = _remembered(run)
    return {
        name: {title: round(share, 4) for title, share in check(reader, _each(asked, seeded)).items()}
        for name, seeded in vectors.items()
    }


def _each(asked: Iterable[Everyday], seeded: list[Tensor]) -> dict[Everyday, Tensor]:
    """Prompt → its vectors (S, space), of S seeds' vectors (P, space)."""
    return dict(zip(asked, torch.stack(seeded, 1), strict=True))


def _remembered(run: Run) -> Reader:
    """The scorer over prompts; those that were read before are not read again."""
    known: dict[tuple[str, ...], Tensor] = {}

    def reader(prompts: Sequence[str]) -> Tensor:
        key = tuple(prompts)
        if key not in known:
            known[key] = read(run, prompts)
        return known[key]

    return reader


# --- figures ---------------------------------------------------------------------------------------------------------


def summary(scores: np.ndarray, ways: list[str]) -> dict[str, dict[str, float]]:
    """Mean score, mean relative quality and share within 2 % of `exact`, of prompt means over seeds."""
    rows = scores[np.isfinite(scores[:, 0, 0].astype(np.float32))].astype(np.float32)
    if not len(rows):
        return {}
    means = np.nanmean(rows, 1)
    relative = np.minimum(means / np.maximum(means[:, :1], FLOOR), CEILING)
    columns = {"score": means, "relative": relative, "within 2 %": relative >= 0.98}
    return {
        way: {title: round(float(values[:, place].mean()), 4) for title, values in columns.items()}
        for place, way in enumerate(ways)
    }


def by_kind(some: Sequence[scenes.Scene], scores: np.ndarray, ways: list[str]) -> dict[str, dict[str, float]]:
    """Mean scores by kind of scene, those in places apart."""
    done = np.isfinite(scores[:, 0, 0].astype(np.float32))
    kinds, scores = np.array([_kind(scene) for scene in some])[done], scores[done]
    means = {kind: np.nanmean(scores[kinds == kind].astype(np.float32), (0, 1)) for kind in sorted(set(kinds))}
    return {kind: dict(zip(ways, np.round(row, 3).tolist(), strict=True)) for kind, row in means.items()}


def _kind(scene: scenes.Scene) -> str:
    return scene.plan.kind + ("" if words.GROUNDS[scene.plan.ground].plain else " in a place")


def tell(title: str, figures: dict[str, dict[str, float]]) -> None:
    """The table, in the log."""
    say(f"{title}: score, relative, within 2 %")
    for name, row in figures.items():
        print(f"    {name:10} " + "  ".join(f"{value:.4f}" for value in row.values()), flush=True)


def _write(run: Run, report: dict[str, Any], **scores: np.ndarray) -> None:
    folder = run.folder / "scores"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "scores.npz", ways=np.array(report["ways"]), **scores)  # type: ignore[arg-type]
    (folder / "held-out.txt").write_text("\n".join(scene.prompt for scene in run.held_out) + "\n")
    (folder / "fresh.txt").write_text("\n".join(run.fresh) + "\n")
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
