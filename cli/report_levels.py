"""`argus report levels`: what each level costs and keeps, as measured, and which of them are worth having."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.terminal import JSON_OUT, OUT_FILE, show_table, shows_table, write_json
from core.errors import BadProfile

if TYPE_CHECKING:
    from app.records.pareto import Point
    from core.families import Family

HEADER = ("level", "alone s", "quality %", "95 % interval", "prompts", "auto takes it", "on the front")


@click.command()
@click.option("--family", "name", help="Family to report: a file of families/ or a path. [ARGUS_FAMILY]")
@click.option("--device", help="Type of device, as its profile is called. [the first that was measured]")
@click.option("--plot", "picture", type=OUT_FILE, help="Draw quality over seconds into this PNG.")
@click.option("--json", "out", type=JSON_OUT, help="Also write the figures as JSON to this file (- is stdout).")
def levels(name: str | None, device: str | None, picture: Path | None, out: Path | None) -> None:
    """What each level costs and keeps, as measured, and which levels no other beats in both.

    Seconds are of one request alone, of the device's profile; quality is the mean of the family's quality table with
    its 95 % interval. Nothing needs to run.
    """
    from app.records.levels import levels_on, quality_table
    from app.records.pareto import points
    from core.families import load_family
    from core.settings import settings

    family = load_family(name or settings().family)
    device = _measured(family, device)
    found = levels_on(family, [device])
    measured = points(found, device, quality_table(family))
    missing = [level.id for level in found.levels if device not in level.measured]
    title = f"Levels of {family.id} {family.version} on {device}"
    if picture:
        plot(measured, title, picture)
    write_json(
        out,
        {
            **{"family": family.id, "family_version": family.version, "device": device},
            **{"levels": [point.as_dict() for point in measured], "not_measured": missing},
            "withheld": dict(family.withheld),
        },
    )
    if shows_table(out):
        show_table(title, HEADER, [_row(point) for point in measured])
        for each in missing:
            click.echo(f"{each} was not measured here: argus profile --level {each} measures it.")
        for each, why in family.withheld.items():
            click.echo(f"{each} is not offered: {why}")


def plot(measured: Sequence[Point], title: str, path: Path) -> None:
    """A PNG of the points with their intervals, by the logarithm of seconds, and the line through the front."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator, PercentFormatter, ScalarFormatter

    figure, axis = plt.subplots(figsize=(8, 4.5))
    front = [point for point in measured if point.best]
    axis.plot([p.seconds for p in front], [p.quality for p in front], color="0.7", lw=1, zorder=0)
    for p in measured:
        ends = [[p.quality - p.low], [p.high - p.quality]]
        marker, face = "s" if p.by_name else "o", "C0" if p.best else "white"
        axis.errorbar(p.seconds, p.quality, ends, fmt=marker, color="C0", mfc=face, capsize=3, lw=1)
        axis.annotate(p.level, (p.seconds, p.quality), (5, 5), textcoords="offset points", fontsize=8)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axis.set(xlabel="seconds of one request alone", ylabel="relative quality")
    axis.set_title(f"{title} (squares: by name alone; hollow: beaten by another)", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.15)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _measured(family: Family, wanted: str | None) -> str:
    """The type of device to report; raises `BadProfile` naming those that were measured."""
    from core.measured import measured_files

    devices = [file.stem for file in measured_files(family.id, "*.json")]
    if not devices or (wanted is not None and wanted not in devices):
        there = f"measured are: {', '.join(devices)}" if devices else "none was: argus profile measures this one"
        what = f"device type {wanted!r}" if wanted else "a device"
        raise BadProfile(f"There is no profile of {what} for family {family.id!r}; {there}.", field="device")
    return wanted or devices[0]


def _row(point: Point) -> list[str]:
    between = f"{100 * point.low:.2f} to {100 * point.high:.2f}" if point.prompts else "–"
    return [
        point.level,
        f"{point.seconds:.3f}",
        f"{100 * point.quality:.2f}",
        between,
        str(point.prompts) if point.prompts else "–",
        "by name alone" if point.by_name else "yes",
        f"beaten by {point.beaten_by}" if point.beaten_by else "yes",
    ]
