"""`argus replay`: an open-loop load script. Arrivals of a trace are sent to a running Argus over its REST API, on time.

Open loop: a request is sent when the trace says, whether or not earlier ones were answered. Latency counts from the
*intended* time of arrival, so a server (or this script) that falls behind is charged for it: no coordinated omission.
Nothing is polled while the load runs; afterwards each request is read once, and the server's own times are used.

    latency = (answer to the submission − intended arrival, our clock) + (stored − accepted, the server's clock)

which is never less than the true latency, whatever the two clocks say.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from core.client import ArgusClient
from core.errors import BadInput
from core.settings import settings
from traces.reader import read_trace
from traces.replay.plan import plan, read_prompts
from traces.replay.references import References
from traces.replay.send import send, wait
from traces.replay.summary import summary


def show(console: Console, name: str, figures: dict[str, Any]) -> None:
    """The table for people."""
    table = Table(title=f"Replay under {name}", show_header=False)
    for key, value in figures.items():
        if key == "levels":
            value = ", ".join(f"{level} {share:.1%}" for level, share in value.items())
        elif key == "violation_rate":
            value = f"{value:.2%}"
        elif isinstance(value, float):
            value = f"{value:.3f}"
        table.add_row(key.replace("_", " "), "–" if value is None else str(value))
    console.print(table)


@click.command()
@click.option("--trace", type=click.Path(exists=True, path_type=Path), required=True, help="CSV of arrivals.")
@click.option(
    "--prompts", type=click.Path(exists=True, path_type=Path), help="One a line, or CSV/TSV with a column prompt."
)
@click.option("--scale-to", type=float, help="Stretch the trace so that its busiest minute has so many requests.")
@click.option("--start", "start_s", type=float, default=0.0, help="Seconds of the trace to skip.")
@click.option("--duration", "duration_s", type=float, help="Seconds of the trace to replay; default: all of it.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of arrivals, prompts and image seeds.")
@click.option("--level", default="auto", show_default=True, help="Level asked for.")
@click.option("--min-quality", type=float, help="Floor of relative quality asked for.")
@click.option(
    "--deadline", "deadline_s", type=float, help="Seconds in which each image is wanted; default: the SLO in force."
)
@click.option(
    "--references", type=click.Path(path_type=Path), help="CSV of exact scores; missing ones are drawn afterwards."
)
@click.option(
    "--patience", "patience_s", type=float, default=600.0, show_default=True, help="Seconds to wait for the last image."
)
@click.option("--url", help="Where Argus answers; default: this machine's, from the settings.")
@click.option("--name", help="Name of the run in the output; default: the policy in force.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here for programs.")
def replay(
    trace: Path,
    prompts: Path | None,
    scale_to: float | None,
    start_s: float,
    duration_s: float | None,
    seed: int,
    level: str,
    min_quality: float | None,
    deadline_s: float | None,
    references: Path | None,
    patience_s: float,
    url: str | None,
    name: str | None,
    out: Path | None,
) -> None:
    """Send the arrivals of a trace to a running Argus, on time, and say what became of them."""
    console = Console(stderr=True)
    whole = read_trace(trace)
    shape = (whole.scaled_to(scale_to) if scale_to else whole).window(start_s, duration_s)
    arrivals, rows = shape.requests(seed)
    own = shape.prompts if rows is not None and shape.prompts else None
    if prompts is None and own is None:
        raise BadInput("The trace has no prompts of its own: give some with --prompts FILE.", field="prompts")
    texts = read_prompts(prompts) if prompts is not None else list(own or ())
    planned = plan(arrivals, texts, rows if prompts is None else None, seed)
    client = ArgusClient(url or _here())
    reference, policy = _who_answers(client)
    wish = {"level": level, "min_quality": min_quality, "deadline_s": deadline_s, "title": f"replay of {whole.name}"}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        sent = send(client, planned, {key: value for key, value in wish.items() if value is not None}, bar)
        wait(client, sent, patience_s, bar)
        known = References(references) if references else None
        if known:
            known.complete(client, sent, reference, bar)
    figures = summary(sent, shape.duration_s, reference, known)
    name = name or policy
    show(Console(), name, figures)
    if out:
        run = {
            "trace": whole.name,
            "start_s": start_s,
            "duration_s": shape.duration_s,
            "scale_to": scale_to,
            "seed": seed,
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({"policies": {name: figures}, "run": run}, indent=1) + "\n", encoding="utf-8")


def _here() -> str:
    host = settings().host
    return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::', '') else host}:{settings().port}"


def _who_answers(client: ArgusClient) -> tuple[str, str]:
    """The reference level, and the policy in force (as set, while there is no plan)."""
    levels = client.get("/v1/levels")["levels"]
    plan = client.get("/v1/plan")["plan"]
    return next(level["id"] for level in levels if level["reference"]), plan["policy"] if plan else settings().policy
