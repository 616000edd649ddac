"""`argus calibrate`: what a `cq` or a `sub` level needs to know of its model, found on a few prompts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.numbers import Whole
from cli.terminal import IN_FILE, JSON_OUT, OUT_FILE, progress_bar, shows_table, write_json

if TYPE_CHECKING:
    from core.families import Family, Model
    from core.reuse_plans import ReusePlan

BITS = ("none", "w8a8", "w8a16", "w4a8")
MOST_PROMPTS = 1000


@click.group()
def calibrate() -> None:
    """Find what a level needs to know of its model, on a few prompts."""


@calibrate.command()
@click.option("--family", "name", help="Family of the model: a file of families/ or a path. [ARGUS_FAMILY]")
@click.option("--model", help="Which of its models. [that of its reference level]")
@click.option("--interval", type=Whole(1), default=3, show_default=True, help="Steps a whole forward, on average.")
@click.option(
    "--bits",
    type=click.Choice(BITS),
    default="none",
    show_default=True,
    help="Of weights and activations: as the model's quantization in the family file.",
)
@click.option("--prompts", "file", type=IN_FILE, help="Prompts, one a line. [training prompts of the embedded family]")
@click.option("--count", type=Whole(1, MOST_PROMPTS), default=8, show_default=True, help="Prompts to draw.")
@click.option("--device", default="cpu:0", show_default=True, help="Device to draw on, e.g. cpu:0 or cuda:0.")
@click.option("--out", type=OUT_FILE, help="[families/<family>/cachequant/<model>-<interval>.json]")
@click.option("--json", "copy", type=JSON_OUT, help="Also write what was found as JSON (- is stdout).")
def cachequant(
    name: str | None,
    model: str | None,
    interval: int,
    bits: Any,
    file: Path | None,
    count: int,
    device: str,
    out: Path | None,
    copy: Path | None,
) -> None:
    """Draw a few prompts in full and write the plan of a `cq` level: when its deep features are computed, and what
    corrects them where they are reused. Interrupted, it continues where it was.
    """
    from core.checked_files import write_checked
    from core.devices import checked, torch_device
    from core.families import load_family
    from core.settings import settings
    from workers.measure.cachequant import Subject
    from workers.measure.cachequant import calibrate as calibrated

    family = load_family(name or settings().family)
    if bits == "w4a8":
        raise click.BadParameter("w4a8: torchao multiplies no int4 weights by int8 here; use w8a8.", param_hint="bits")
    subject = Subject(family, _model(family, model), _prompts(family, file, count), torch_device(checked(device)))
    with progress_bar() as bar:
        task = bar.add_task("calibrating", total=None)
        plan = calibrated(
            subject,
            interval,
            bits,
            settings().home / "calibration",
            lambda done, total, what: bar.update(task, completed=done, total=total, description=what),
        )
    target = out or _target(family, "cachequant", f"{subject.model.id}-{interval}")
    write_checked(target, plan)
    write_json(copy, {"file": str(target), **plan.model_dump(mode="json", exclude={"feature", "output", "times"})})
    if shows_table(copy):
        click.echo(_summary(plan, target))


@calibrate.command()
@click.option("--family", "name", help="Family of the model: a file of families/ or a path. [ARGUS_FAMILY]")
@click.option("--model", help="Which of its models. [that of its reference level]")
@click.option("--prompts", "file", type=IN_FILE, help="Prompts, one a line. [training prompts of the embedded family]")
@click.option("--count", type=Whole(1, MOST_PROMPTS), default=32, show_default=True, help="Prompts to draw.")
@click.option("--device", default="cpu:0", show_default=True, help="Device to draw on, e.g. cpu:0 or cuda:0.")
@click.option("--out", type=OUT_FILE, help="[families/<family>/subspace/<model>.json]")
@click.option("--json", "copy", type=JSON_OUT, help="Also write what was found as JSON (- is stdout).")
def subspace(
    name: str | None, model: str | None, file: Path | None, count: int, device: str, out: Path | None, copy: Path | None
) -> None:
    """Draw a few prompts and write the subspace of a `sub` level: what of a latent one of half the size shows.
    A family whose autoencoder answers averages to pictures of half the size needs none.
    """
    from core.checked_files import write_checked
    from core.devices import checked, torch_device
    from core.families import load_family
    from core.settings import settings
    from workers.measure.cachequant import Subject
    from workers.measure.subspace import calibrate as calibrated

    family = load_family(name or settings().family)
    subject = Subject(family, _model(family, model), _prompts(family, file, count), torch_device(checked(device)))
    with progress_bar() as bar:
        task = bar.add_task("calibrating", total=None)
        found = calibrated(
            subject, lambda done, total, what: bar.update(task, completed=done, total=total, description=what)
        )
    target = out or _target(family, "subspace", subject.model.id)
    write_checked(target, found)
    write_json(copy, {"file": str(target), **found.model_dump(mode="json", include={"of", "made", "scale"})})
    if shows_table(copy):
        click.echo(f"Latents of half the size vary {found.scale:.3f} times as much.\nwritten to {target}")


def _model(family: Family, wanted: str | None) -> Model:
    """The model by its id; wrong use, naming those there are."""
    name = family.level(family.reference).model if wanted is None else wanted
    if name not in family.models:
        known = ", ".join(family.models)
        raise click.BadParameter(f"family {family.id} has no model {name!r}: {known}.", param_hint="model")
    return family.models[name]


def _prompts(family: Family, file: Path | None, count: int) -> list[str]:
    """The prompts to draw."""
    if file is not None:
        lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
        return [line for line in lines if line][:count]
    if family.id != "embedded":
        raise click.UsageError("Only the embedded family has prompts of its own: give --prompts.")
    from families.embedded import card

    return card.beyond(count)


def _target(family: Family, kind: str, file: str) -> Path:
    """Beside the family, where that may be written, else for this host alone."""
    from core.families import FAMILIES
    from core.settings import CHECKOUT, settings

    own = CHECKOUT and os.access(FAMILIES, os.W_OK)
    folder = FAMILIES if own else settings().home / "calibration"
    return folder / family.id / kind / f"{file}.json"


def _summary(plan: ReusePlan, target: Path) -> str:
    from core.settings import ROOT

    place = target.relative_to(ROOT) if target.is_relative_to(ROOT) else target
    return (
        f"{plan.of.model}: the deep part runs at {len(plan.starts)} of {plan.of.steps} steps: "
        f"{', '.join(str(start + 1) for start in plan.starts)}.\n"
        f"written to {place}. A level of it, in the family's file:\n\n"
        f'[levels.cq-{plan.interval}]\nstrategy = "cq"\nmodel = "{plan.of.model}"\ncalibration = "{place}"'
    )
