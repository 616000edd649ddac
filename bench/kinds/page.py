"""The page: figures with intervals, and which goals are reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.kinds.setup import STEPS
from bench.kinds.translation import OWN_GUIDANCE
from bench.live.machine import told
from bench.scheduler.intervals import drawn, shown, verdict

GOAL_DB = 2.0  # P2L over what is degraded
KEPT = 0.99  # of DDBM by DBIM
TITLES = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "distance": "distance, as the embedded scorer sees it",
    "misfit": "‖A·x − y‖, root mean square",
    "entropy": "entropy, bits",
    "scd": "SCD",
    "vif": "VIF",
    "clip": "CLIPScore",
}
DIGITS = {"psnr": 2, "entropy": 2, "distance": 4}
PAGE = """\
# Other kinds of job: restoring, fusing, translating

Scenes of the embedded family that its training never saw, {side}×{side} pixels. Brackets: 95 % intervals of the mean,
by a bootstrap over scenes; differences are paired. Seconds are those of the last few pictures, beside whatever else
ran. Each part says which command measured it, when and where.

## Restoration

{restoration_run}
{restoration_scenes} held-out scenes a task, measured with noise of deviation {noise:g} (of a range of 2); `large` with
an empty prompt is the prior.

- *Degraded*: as measured; a small picture enlarged by bicubic interpolation.
- *Autoencoder alone*: that, encoded and decoded once, then the picture nearest to it that fits the measurement, which
  is P2L's last step. What needs no diffusion.
- *Latent DPS* takes as many gradients as P2L; *then nearest* gives it P2L's last step, too. The settings of both were
  chosen on two other scenes.
- The distance stands for LPIPS, whose weights are not to be had here: 1 − cosine of what the family's own scorer sees.

{restoration}

## Fusion

{fusion_run}
{fusion_scenes} synthetic pairs made of held-out scenes: a visible night at 0.3 of the scene's brightness, and an
infrared in which things are warm and their ground is not. The prior is no unconditional model, which the family lacks,
but `large` with an empty prompt: every step decodes, corrects and encodes again. SSIM and VIF are sums over both
sources.

{fusion}

## Translation

{translation_run}
From a source and a prompt to the scene of both, {translation_scenes} held-out ones, by the family's bridge: `large`
with an update of 2.7 MB, trained on one core ([model card](../model-card.md)), at guidance {guidance:g}. A source is a
sketch (edges of luminance) or luminance alone. Image-to-image is `large` at guidance 2, at as many steps as DBIM has
denoisings; both run twice as many rows for their guidance. *source* is what the autoencoder gives back of it.

{translation}

## What is not here

SDM is checked in closed form alone (`tests/workers/kinds/`): it has no weights yet. Requests can ask
for P2L, DDFM and DBIM ([0141](../decisions/0141-kinds-bring-their-own-way.md)).
"""


def page(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    told_of = {"restoration": _restoration, "fusion": _fusion, "translation": _translation}
    filled = {part: "\n".join(lines(found[part]["ways"])) for part, lines in told_of.items()}
    filled |= {f"{part}_run": _run(found[part]) for part in told_of}
    counts = {f"{part}_scenes": found[part]["run"]["scenes"] for part in told_of}
    same = {name: found["restoration"]["run"][name] for name in ("side", "noise")}
    return PAGE.format(**filled, **counts, **same, guidance=OWN_GUIDANCE)


def _run(part: dict[str, Any]) -> str:
    """Which command found it, when and where."""
    return (
        "`{command}`, {measured}, commit {commit}, {hardware}, {threads} torch thread(s); "
        "load average before {load_before:.2f}."
    ).format(**part["run"], hardware=told(part["hardware"]))


def _restoration(tasks: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for task, ways in tasks.items():
        table = _table(ways, ["psnr", "ssim", "distance", "misfit"], ("gradients", "seconds"))
        lines += [f"### {task}", "", *table, "", *_goals(ways), ""]
    return lines[:-1]


def _goals(ways: dict[str, Any]) -> list[str]:
    """How P2L does against each goal of its issue, and against what is simpler."""
    nearest = "latent DPS, then nearest"
    return [
        f"- PSNR at least {GOAL_DB:g} dB over degraded: {_over(ways, 'degraded', 'psnr', GOAL_DB)}.",
        f"- PSNR over latent DPS: {_over(ways, 'latent DPS', 'psnr')}; with the same last step "
        f"{_over(ways, nearest, 'psnr')}.",
        f"- Distance less than of latent DPS: {_over(ways, 'latent DPS', 'distance', sign=-1.0)}; with the same last "
        f"step {_over(ways, nearest, 'distance', sign=-1.0)}.",
        f"- PSNR over the autoencoder alone (no goal): {_over(ways, 'autoencoder alone', 'psnr')}.",
        f"- PSNR over itself without tuned text (no goal): {_over(ways, 'P2L without tuning', 'psnr')}.",
    ]


def _over(ways: dict[str, Any], rival: str, figure: str, least: float = 0.0, sign: float = 1.0, of: str = "P2L") -> str:
    """By how much a way is over another (`sign` −1: below), and whether that is shown."""
    margin = sign * drawn(np.array(ways[of][figure]) - np.array(ways[rival][figure]))
    unit = " dB" if figure == "psnr" else ""
    return f"{shown(margin, DIGITS.get(figure, 3), 1.0)}{unit}, {verdict(margin - least)}"


def _fusion(ways: dict[str, Any]) -> list[str]:
    figures = ("entropy", "ssim", "scd", "vif")
    lines = [*_table(ways, figures, ("seconds",)), ""]
    for figure in figures:
        rivals = [name for name in ways if name != "DDFM"]
        best = max(rivals, key=lambda name: float(np.mean(ways[name][figure])))
        lines.append(
            f"- {TITLES[figure]} over the best of the others (*{best}*): {_over(ways, best, figure, of='DDFM')}."
        )
    return lines


def _translation(kinds: dict[str, dict[str, Any]]) -> list[str]:
    lines = []
    for kind, ways in kinds.items():
        sheet = f"![source, DBIM at {STEPS} denoisings, truth, image-to-image](img/translation-{kind}.jpg)"
        told_of = "The first eight scenes, two a row: source, DBIM, truth, image-to-image at strength 1. Not picked."
        lines += [f"### from {kind}", "", *_translated(ways), "", sheet, "", told_of, ""]
    return lines[:-1]


def _translated(ways: dict[str, Any]) -> list[str]:
    figures = ("psnr", "ssim", "clip")
    slow, *others = (name for name in ways if name.startswith("D"))
    fast = [name for name in others if name.startswith("DBIM")]
    lines = [*_table(ways, figures, ("seconds",)), ""]
    for figure in ("psnr", "clip"):
        rivals = [name for name in ways if name.startswith("image-to-image")]
        best = max(rivals, key=lambda name: float(np.mean(ways[name][figure])))
        lines.append(f"- {TITLES[figure]}, *{fast[0]}* over *{best}*: {_over(ways, best, figure, of=fast[0])}.")
        for name in fast:
            kept = drawn(ways[name][figure]) / drawn(ways[slow][figure])
            goal = "" if name == fast[0] else "no "
            lines.append(
                f"- {TITLES[figure]}, *{name}* keeps of *{slow}* ({goal}goal: 99 %): {shown(kept, 1)} %, "
                f"{verdict(kept - KEPT)}."
            )
    return lines


def _table(ways: dict[str, Any], figures: Sequence[str], spent: Sequence[str]) -> list[str]:
    titles = [TITLES[name] for name in figures] + [f"{name} a picture" for name in spent]
    rows = [f"| | {' | '.join(titles)} |", "| --- |" + " --- |" * len(titles)]
    for way, values in ways.items():
        cells = [shown(drawn(values[name]), DIGITS.get(name, 3), 1.0) for name in figures]
        rows.append(f"| {way} | {' | '.join([*cells, *(f'{values[name]:.3g}' for name in spent)])} |")
    return rows
