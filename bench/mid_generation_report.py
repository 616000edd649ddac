"""What a probe at a third of the steps knows of a seed, beyond what the prompt's prediction says; and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import click
import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold

from core.families import load_family
from core.settings import ROOT
from scheduler.prediction.features import Features
from scheduler.prediction.store import shipped
from workers.measure.evaluate import CEILING, FLOOR

SCORES = ROOT / "profiles" / "embedded" / "quality-seeds.npz"
PROBES = ("probe", "linear probe")
ENDINGS = {"2 more steps": 6 / 12, "1 step of turbo": 4.5 / 12, "probe": 4 / 12}  # share of the steps that ran, by then
LEVELS = ("fs-turbo-1", "sm-medium-1", "sm-turbo-half", "sm-medium-half")
STEPS, FOLDS, DRAWS = 12, 10, 1000
Figure = Callable[[np.ndarray], float]  # of prompts' places


def relative(scores: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Relative quality of each prompt and seed."""
    found: np.ndarray = np.minimum(scores / np.maximum(exact, FLOOR), CEILING)
    return found


def lost(quality: np.ndarray) -> np.ndarray:
    """Shortfall from 1, as everywhere."""
    found: np.ndarray = np.maximum(0.0, 1 - quality)
    return found


def foretold(prompts: list[str]) -> np.ndarray:
    """What the shipped predictor says of each prompt [P, levels]."""
    family = load_family("embedded")
    predictor = shipped(family)
    assert predictor is not None, "no predictor of this version"
    found: np.ndarray = np.asarray(predictor.predict(Features.of(family)(prompts)).mean)
    return found


def out_of_fold(features: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Predictions [P, S] of `wanted` [P, S] from features [P, S, F], each prompt by a model that never saw it."""
    prompts, seeds = wanted.shape
    rows, flat, groups = features.reshape(prompts * seeds, -1), wanted.ravel(), np.repeat(np.arange(prompts), seeds)
    rows = (rows - rows.mean(0)) / np.maximum(rows.std(0), 1e-9)
    rows = np.hstack([rows, rows**2])
    found = np.empty(len(flat))
    for train, test in GroupKFold(FOLDS).split(rows, flat, groups):
        found[test] = RidgeCV(np.logspace(-2, 4, 13)).fit(rows[train], flat[train]).predict(rows[test])
    return found.reshape(prompts, seeds)


def explained(predicted: np.ndarray, true: np.ndarray) -> float:
    """R², out of fold."""
    return 1 - float(((true - predicted) ** 2).sum() / ((true - true.mean()) ** 2).sum())


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def with_interval(figure: Figure, prompts: int, scale: float = 1.0, digits: int = 2) -> str:
    """The figure and its 95 % interval, by a bootstrap over prompts."""
    rng = np.random.default_rng(0)
    found = [figure(rng.integers(prompts, size=prompts)) for _ in range(DRAWS)]
    low, high = np.quantile(found, [0.025, 0.975])
    return " ".join(
        (f"{scale * figure(np.arange(prompts)):.{digits}f}", f"({scale * low:.{digits}f} to {scale * high:.{digits}f})")
    )


def loss_of_half(by: np.ndarray, loss: np.ndarray) -> float:
    """Mean loss over all when the half that `by` promises to lose least by it is lowered."""
    order = np.argsort(by.ravel(), kind="stable")[: by.size // 2]
    return float(loss.ravel()[order].sum() / by.size)


def _of(figure: Callable[[np.ndarray, np.ndarray], float], a: np.ndarray, b: np.ndarray) -> Figure:
    return lambda places: figure(a[places], b[places])


def _gain(by: Mapping[str, np.ndarray], loss: np.ndarray) -> Figure:
    """What is lost less when half are chosen by the linear probe instead of by the prompt alone."""

    def figure(places: np.ndarray) -> float:
        prompt, probe = (loss_of_half(by[name][places], loss[places]) for name in ("prompt", "linear probe"))
        return prompt - probe

    return figure


def rows_of(data: Mapping[str, np.ndarray], exact: np.ndarray, scores: Mapping[str, np.ndarray]) -> list[str]:
    """A line for each way to finish: what is known of it, by whom, and what that is worth."""
    prompts = len(exact)
    told = np.repeat(foretold([str(p) for p in data["prompts"]])[:, None, :], exact.shape[1], axis=1)
    lines = []
    for name, drawn in scores.items():
        quality = relative(drawn, exact)
        loss = lost(quality)
        by = {"prompt": out_of_fold(told, loss)}
        cells = [f"{100 * loss.mean():.2f}"]
        for probe in PROBES:
            seen = data[probe][..., None]
            by[probe] = out_of_fold(np.concatenate([told, seen], 2), loss)
            between = np.diff(data[probe], axis=1), np.diff(quality, axis=1)  # of the seeds of a prompt
            cells.append(with_interval(_of(correlation, *between), prompts))
        cells += [with_interval(_of(explained, one, loss), prompts) for one in by.values()]
        rng = np.random.default_rng(1)
        choices = {"blind": rng.random(loss.shape), **by, "oracle": loss}
        cells += [f"{100 * loss_of_half(choice, loss):.2f}" for choice in choices.values()]
        cells.append(with_interval(_gain(by, loss), prompts, 100, 3))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


@click.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path))
def report(file: Path) -> None:
    """Print what FILE says."""
    with np.load(file) as kept, np.load(SCORES) as levels:
        data = dict(kept)
        prompts, seeds = data["probe"].shape
        known = {name: levels[name][:prompts, :seeds].astype(float) for name in ("exact", *LEVELS)}
    exact = known.pop("exact")
    click.echo(f"{prompts} held-out prompts, {seeds} seeds each; intervals by a bootstrap over prompts.\n")
    whole = STEPS * data["seconds step"] + data["seconds decode"]
    for decoder in ("decode", "decode linear"):
        took = data[f"seconds {decoder}"] + data["seconds score"]
        click.echo(f"a probe by `{decoder}`: {1000 * took:.1f} ms, {100 * took / whole:.1f} % of a request's")
    for probe in (*PROBES,):
        click.echo(f"{probe} against the final score: correlation {correlation(data[probe], exact):.3f}")
    columns = ["finished by", "lost %", *(f"seed's: {p}" for p in PROBES)]
    columns += [f"R² {p}" for p in ("prompt", *PROBES)]
    columns += [*(f"half by: {p}" for p in ("chance", "prompt", *PROBES, "oracle")), "prompt − linear probe"]
    click.echo("\n| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns))
    ways = {name: data[name].astype(float) for name in ENDINGS} | known
    click.echo("\n".join(rows_of(data, exact, ways)))
    click.echo("\n" + "\n".join(at_equal_work(data, exact, known)))


def at_equal_work(data: Mapping[str, np.ndarray], exact: np.ndarray, known: Mapping[str, np.ndarray]) -> list[str]:
    """What is lost when so much of the work is spent: by lowering after a third by an oracle, or at the start."""
    lines = ["| work, of `exact` | after a third, by an oracle | at the start, by chance |", "| --- | --- | --- |"]
    ending, cost = "2 more steps", ENDINGS["2 more steps"]
    late, early = np.sort(lost(relative(data[ending], exact)).ravel()), lost(relative(known["fs-turbo-1"], exact))
    start_cost = 0.072 / 0.571  # docs/model-card.md, seconds an image
    for work in (0.9, 0.75, 0.6):
        lowered = round((1 - work) / (1 - cost) * late.size)
        oracle = late[:lowered].sum() / late.size
        lines.append(
            f"| {work:.2f} | {100 * oracle:.2f} % | {100 * early.mean() * (1 - work) / (1 - start_cost):.2f} % |"
        )
    return lines
