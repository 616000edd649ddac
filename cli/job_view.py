"""A job on the terminal: a bar while it is drawn, then a table of its requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cli.terminal import decimal

if TYPE_CHECKING:
    from rich.console import Console

    from core.client import ArgusClient, Line

POLL_S = 0.25
SCORES_S = 30.0  # how long to wait for the scores of finished images; they have no deadline


def follow(
    console: Console, client: ArgusClient, job: dict[str, Any], meanwhile: Callable[[], None] = lambda: None
) -> list[Line]:
    """Show a bar until nothing of the job is open, then wait a little for scores; returns its requests.

    `meanwhile` is called between two looks.
    """
    until_done(console, client, job, meanwhile)
    return _scored(client, job["id"], meanwhile)


def until_done(
    console: Console, client: ArgusClient, job: dict[str, Any], meanwhile: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Show a bar, with the time that is left, until nothing of the job is open; returns it as it is then."""
    from rich import progress as rich

    columns = (rich.TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn())
    with rich.Progress(*columns, rich.TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("drawing", total=job["size"])
        while (state := client.job(job["id"]))["progress"] < 1.0:
            left = f"drawing, {time_left(state)} left" if state.get("eta") else "drawing"
            bar.update(task, completed=round(state["progress"] * state["size"]), description=left)
            meanwhile()
            time.sleep(POLL_S)
    return state


def standing(job: dict[str, Any]) -> str:
    """How a job stands, in a sentence."""
    counts = ", ".join(f"{count:,} {name}" for name, count in job["counts"].items() if count)
    return f"Job {job['id']} is {job['state']}: {counts}."


def time_left(job: dict[str, Any]) -> str:
    """When a job will be done: `2 min`, `1.5 h`; a dash where nobody knows."""
    seconds = job["eta"]["seconds"] if job.get("eta") else None
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _scored(client: ArgusClient, job_id: str, meanwhile: Callable[[], None]) -> list[Line]:
    """The job's requests, once all images of words have scores or patience ends."""
    end = time.monotonic() + SCORES_S
    lines = client.lines(job_id)
    while time.monotonic() < end and any(
        line["image_id"] and line["prompt"] and line["score"] is None for line in lines
    ):
        meanwhile()
        time.sleep(2 * POLL_S)
        lines = client.lines(job_id)
    return lines


def show(console: Console, lines: Sequence[Line], places: dict[str, str]) -> None:
    """A row for each request: prompt, level, seconds, CLIP score, where the image is (`places` by image id)."""
    from rich.table import Table

    table = Table("prompt", "seed", "level", "seconds", "CLIP")
    table.add_column("image", overflow="fold")
    for line in lines:
        place = places.get(line["image_id"] or "", f"{line['state']}: {line['error_code'] or ''}".rstrip(": "))
        times = decimal(line["latency_s"], 2), decimal(line["score"], 3)
        table.add_row(line["prompt"], str(line["seed"]), line["level"] or "–", *times, place)
    console.print(table)
