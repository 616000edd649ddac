"""`argus replay`: an open-loop load script. Arrivals of a trace are sent to a running Argus over its REST API, on time.

Open loop: a request is sent when the trace says, whether or not earlier ones were answered. Latency counts from the
*intended* time of arrival, so a server (or this script) that falls behind is charged for it: no coordinated omission.
Nothing is polled while the load runs; afterwards each request is read once, and the server's own times are used.

    latency = (answer to the submission − intended arrival, our clock) + (stored − accepted, the server's clock)

which is never less than the true latency, whatever the two clocks say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.numbers import Number, Whole
from cli.rest import URL, client_at
from cli.terminal import IN_FILE, JSON_OUT, OUT_FILE, make_console, progress_bar, shows_table, write_json
from core.errors import BadInput

if TYPE_CHECKING:
    from core.client import ArgusClient
    from traces.reader import Trace
    from traces.replay.plan import Planned


@dataclass(frozen=True)
class Options:
    """The command's options, as click gives them."""

    trace: Path
    prompts: Path | None
    scale_to: float | None
    start_s: float
    duration_s: float | None
    seed: int
    level: str
    min_quality: float | None
    deadline_s: float | None
    references: Path | None
    patience_s: float
    url: str | None
    name: str | None
    out: Path | None


@click.command()
@click.option("--trace", type=IN_FILE, required=True, help="CSV of arrivals.")
@click.option("--prompts", type=IN_FILE, help="One a line, or CSV/TSV with a column prompt.")
@click.option("--scale-to", type=Number(), help="Stretch the trace so that its busiest minute has so many requests.")
@click.option("--start", "start_s", type=Number(), default=0.0, help="Seconds of the trace to skip.")
@click.option("--duration", "duration_s", type=Number(), help="Seconds of the trace to replay; default: all of it.")
@click.option("--seed", type=Whole(0), default=0, show_default=True, help="Of arrivals, prompts and image seeds.")
@click.option("--level", default="auto", show_default=True, help="Level asked for.")
@click.option("--min-quality", type=Number(), help="Lowest relative quality asked for.")
@click.option(
    "--deadline", "deadline_s", type=Number(), help="Seconds in which each image is wanted; default: the SLO in force."
)
@click.option("--references", type=OUT_FILE, help="CSV of exact scores; missing ones are drawn afterwards.")
@click.option(
    "--patience",
    "patience_s",
    type=Number(),
    default=600.0,
    show_default=True,
    help="Seconds to wait for the last.",
)
@URL
@click.option("--name", help="Name of the run in the output; default: the policy in force.")
@click.option("--json", "out", type=JSON_OUT, help="Write the figures here for programs (- is stdout).")
def replay(**given: Any) -> None:
    """Send the arrivals of a trace to a running Argus, on time, and say what became of them."""
    from traces.reader import read_trace

    options = Options(**given)
    whole = read_trace(options.trace)
    shape = whole.scaled_to(options.scale_to) if options.scale_to else whole
    shape = shape.window(options.start_s, options.duration_s)
    planned = _planned(options, shape)
    client = client_at(options.url)
    reference, policy = _reference_and_policy(client)
    figures = _send(options, client, planned, shape, reference)
    name = options.name or policy
    if shows_table(options.out):
        _show(name, figures)
    if options.out:
        run = {"trace": whole.name, "start_s": options.start_s, "duration_s": shape.duration_s}
        run |= {"scale_to": options.scale_to, "seed": options.seed}
        write_json(options.out, {"policies": {name: figures}, "run": run})


def _planned(options: Options, shape: Trace) -> list[Planned]:
    """What to send when: arrivals with the prompts of --prompts, else with the trace's own."""
    from traces.replay.plan import plan, read_prompts

    arrivals, rows = shape.requests(options.seed)
    if options.prompts is not None:
        return plan(arrivals, read_prompts(options.prompts), None, options.seed)
    if rows is None or not shape.prompts:
        raise BadInput("The trace has no prompts of its own: give some with --prompts FILE.", field="prompts")
    return plan(arrivals, list(shape.prompts), rows, options.seed)


def _reference_and_policy(client: ArgusClient) -> tuple[str, str]:
    """The reference level, and the policy in force (as set, while there is no plan)."""
    from core.settings import settings

    levels = client.get("/v1/levels")["levels"]
    plan = client.get("/v1/plan")["plan"]
    return next(level["id"] for level in levels if level["reference"]), plan["policy"] if plan else settings().policy


def _send(
    options: Options, client: ArgusClient, planned: Sequence[Planned], shape: Trace, reference: str
) -> dict[str, Any]:
    """Send everything, wait for it, and count."""
    from traces.replay.references import References
    from traces.replay.send import send, wait
    from traces.replay.summary import summary

    wish = {"level": options.level, "min_quality": options.min_quality, "deadline_s": options.deadline_s}
    body = {name: value for name, value in wish.items() if value is not None} | {"title": f"replay of {shape.name}"}
    known = References(options.references) if options.references else None
    with progress_bar() as bar:
        sent = send(client, planned, body, bar)
        wait(client, sent, options.patience_s, bar)
        if known:
            known.complete(client, sent, reference, bar)
    return summary(sent, shape.duration_s, reference, known)


def _show(name: str, figures: dict[str, Any]) -> None:
    """The table for people."""
    from rich.table import Table

    table = Table(title=f"Replay under {name}", show_header=False)
    for key, value in figures.items():
        table.add_row(key.replace("_", " "), _as_text(key, value))
    make_console().print(table)


def _as_text(key: str, value: Any) -> str:
    if value is None:
        return "–"
    if key == "levels":
        return ", ".join(f"{level} {share:.1%}" for level, share in value.items())
    if key == "violation_rate":
        return f"{value:.2%}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
