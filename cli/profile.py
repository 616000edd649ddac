"""`argus profile`: what every level of a family costs on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from core.families import load_family
from core.settings import settings


@click.command()
@click.option("--family", "name", default=None, help="Family to measure: a file of families/ or a path. [ARGUS_FAMILY]")
@click.option("--device", default="cpu:0", show_default=True, help="Device to measure, e.g. cpu:0 or cuda:0.")
@click.option(
    "--random-weights",
    type=click.Choice(["sd15", "sdxl", "sd3", "flux"]),
    default=None,
    help="Build this architecture at full width with random weights: its speed without its checkpoint.",
)
@click.option("--sizes", default="1,2,4,8", show_default=True, help="Batch sizes to measure.")
@click.option("--repeats", default=5, show_default=True, help="Runs of each measurement; the median counts.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Where the profile goes. [profiles/<family>/<device>.json]",
)
@click.option("--json", "copy", type=click.Path(path_type=Path), default=None, help="Write the profile here too.")
def profile(
    name: str | None,
    device: str,
    random_weights: str | None,
    sizes: str,
    repeats: int,
    out: Path | None,
    copy: Path | None,
) -> None:
    """Measure what every level costs on this machine."""
    import torch

    from core import devices
    from core.measured import measured_target
    from workers.measure.profile import measure
    from workers.pipelines.random_weights import random_family

    family = random_family(random_weights) if random_weights else load_family(name or settings().family)
    torch.set_num_threads(devices.threads(devices.checked(device)))
    batches = [int(size) for size in sizes.split(",")]
    with _progress(f"{family.id} on {device}") as progress:
        measured = measure(family, devices.torch_device(device), sizes=batches, repeats=repeats, progress=progress)
    target = out or measured_target(family.id, f"{measured['device']}.json")
    for file in filter(None, (target, copy)):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    _show(measured, target)


class _progress:
    """A bar on standard error, one mark a model."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self.bar = Progress(console=Console(stderr=True))
        self.task = self.bar.add_task(title, total=None)

    def __enter__(self) -> Any:
        self.bar.start()
        return lambda done, total, what: self.bar.update(
            self.task, completed=done, total=total, description=f"measuring {what}"
        )

    def __exit__(self, *_: object) -> None:
        self.bar.stop()


def _show(measured: dict[str, Any], target: Path) -> None:
    """The table for people: seconds, but steps in milliseconds by rows."""
    from rich.console import Console
    from rich.table import Table

    hardware = measured["hardware"]
    sizes = [point["size"] for point in measured["levels"][0]["batch"]]
    table = Table(
        title=f"{measured['family']} on {hardware['name']}, {hardware['threads']} threads, {hardware['dtype']}"
    )
    columns = (
        "level",
        "model",
        "steps",
        "a minute",
        "alone",
        *(f"ms×{size}" for size in sizes),
        "encode",
        "decode",
        "load",
        "MB",
    )
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < 2 else "right", no_wrap=True)
    for level in measured["levels"]:
        table.add_row(
            level["id"],
            level["model"],
            str(level["steps"] - level["skipped_steps"]),
            f"{level['requests_per_minute']:.1f}",
            f"{level['latency_s']:.3f}",
            *(f"{1000 * point['step_s']:.1f}" for point in level["batch"]),
            *(f"{level[name]:.3f}" for name in ("encode_s", "decode_s", "load_s")),
            f"{level['memory_mb']:.0f}",
        )
    console = Console(width=max(110, Console().width))
    console.print(table)
    if measured["random_weights"]:
        console.print("Random weights: speed only, its images are noise and have no quality.")
    console.print(f"written to {target}")
