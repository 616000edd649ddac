"""`argus profile`: what every level of a family costs on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.numbers import Whole
from cli.terminal import JSON_OUT, OUT_FILE, make_console, progress_bar, shows_table, write_json

if TYPE_CHECKING:
    from core.families import Family

Progress = Callable[[int, int, str], None]


@click.command()
@click.option("--family", "name", help="Family to measure: a file of families/ or a path. [ARGUS_FAMILY]")
@click.option("--device", default="cpu:0", show_default=True, help="Device to measure, e.g. cpu:0 or cuda:0.")
@click.option(
    "--random-weights",
    type=click.Choice(["sd15", "sdxl", "sd3", "flux", "pixart-alpha", "pixart-sigma"]),
    help="Build this architecture at full width with random weights: its speed without its checkpoint.",
)
@click.option("--sizes", default="1,2,4,8", show_default=True, help="Batch sizes to measure.")
@click.option(
    "--repeats", type=Whole(1), default=5, show_default=True, help="Runs of each measurement; the median counts."
)
@click.option("--parallel", is_flag=True, help="Measure modes of several devices instead, with 2 and 4 ranks.")
@click.option("--level", "only", multiple=True, help="Only this level, into the profile that is there. Repeatable.")
@click.option("--out", type=OUT_FILE, help="Where the profile goes. [profiles/<family>/<device>.json]")
@click.option("--json", "copy", type=JSON_OUT, help="Write the profile here too (- is stdout).")
def profile(
    name: str | None,
    device: str,
    random_weights: str | None,
    sizes: str,
    repeats: int,
    parallel: bool,
    only: tuple[str, ...],
    out: Path | None,
    copy: Path | None,
) -> None:
    """Measure what every level costs on this machine."""
    import torch

    from core import devices
    from core.families import load_family
    from core.measured import measured_target
    from core.settings import settings
    from workers.measure.profile import added_to, measure
    from workers.pipelines.random_weights import random_family

    family = random_family(random_weights) if random_weights else load_family(name or settings().family)
    if parallel:
        return _modes(family, devices.checked(device), out, copy)
    family = _only(family, only) if only else family
    torch.set_num_threads(devices.threads(devices.checked(device)))
    batches = [int(Whole(1, 1024).convert(size, None, None)) for size in sizes.split(",")]
    with _progress(f"{family.id} on {device}") as progress:
        measured = measure(family, devices.torch_device(device), sizes=batches, repeats=repeats, progress=progress)
    target = out or measured_target(family.id, f"{measured['device']}.json")
    if only:
        measured = added_to(_there(target), measured)
    for file in filter(None, (target, copy)):
        write_json(file, measured)
    if shows_table(copy):
        _show(measured, target)


def _modes(family: Family, device: str, out: Path | None, copy: Path | None) -> None:
    """What a step takes in every mode of several devices."""
    from rich.table import Table

    from core.measured import measured_target
    from workers.measure.modes import measure_modes

    with _progress(f"{family.id} on {device}") as progress:
        measured = measure_modes(family, device, progress=progress)
    target = out or measured_target(family.id, f"parallel/{measured['device']}.json")
    for file in filter(None, (target, copy)):
        write_json(file, measured)
    if not shows_table(copy):
        return
    columns = ("mode", "model", "ranks", "ms a step", "serial", "speed-up", "to meet, s", "MB a step")
    table = Table(*columns, title=f"{family.id} on {device}")
    for mode in measured["modes"]:
        steps = (1000 * mode["step_s"], 1000 * mode["serial_s"], mode["serial_s"] / mode["step_s"])
        figures = [*(f"{step:.1f}" for step in steps), f"{mode['meet_s']:.2f}", f"{mode['bytes'] / 1e6:.2f}"]
        table.add_row(mode["mode"], mode["model"], str(mode["ranks"]), *figures)
    make_console().print(table)
    make_console().print(f"written to {target}", soft_wrap=True)


def _only(family: Family, names: Sequence[str]) -> Family:
    return family.model_copy(update={"levels": {name: family.level(name) for name in names}})


def _there(file: Path) -> dict[str, Any]:
    """The profile that levels are added to."""
    from core.profiles import read_profile

    read_profile(file)  # or says what is wrong with it
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


@contextmanager
def _progress(title: str) -> Iterator[Progress]:
    """What tells how far the measurement is: a bar on standard error."""
    with progress_bar() as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=f"measuring {what}")


def _show(measured: dict[str, Any], target: Path) -> None:
    """The table for people: seconds, but steps in milliseconds by rows."""
    from rich.table import Table

    hardware = measured["hardware"]
    steps = [f"ms×{point['size']}" for point in measured["levels"][0]["batch"]]
    table = Table(
        title=f"{measured['family']} on {hardware['name']}, {hardware['threads']} threads, {hardware['dtype']}"
    )
    columns = ("level", "model", "steps", "a minute", "alone", *steps, "encode", "decode", "load", "MB")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < 2 else "right", no_wrap=True)
    for level in [*measured["levels"], *measured["by_name"]]:
        table.add_row(*_row(level))
    console = make_console()
    console.print(table)
    if measured["random_weights"]:
        console.print("Random weights: speed only, its images are noise and have no quality.")
    console.print(f"written to {target}", soft_wrap=True)


def _row(level: dict[str, Any]) -> list[str]:
    return [
        level["id"],
        level["model"],
        str(level["steps"] - level["skipped_steps"]),
        f"{level['requests_per_minute']:.1f}",
        f"{level['latency_s']:.3f}",
        *(f"{1000 * point['step_s']:.1f}" for point in level["batch"]),
        *(f"{level[name]:.3f}" for name in ("encode_s", "decode_s", "load_s")),
        f"{level['memory_mb']:.0f}",
    ]
