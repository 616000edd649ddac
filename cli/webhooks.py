"""`argus webhooks`: whom jobs tell what became of them, what was told, and telling once more, over REST."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import click

from cli.numbers import Whole
from cli.rest import URL, client_at
from cli.terminal import JSON_OUT, make_console, shows_table, write_json

STATES = ("waiting", "delivered", "failed", "gone")
EVENTS = ("job.done", "request.done", "request.failed")
OUT = click.option("--json", "out", type=JSON_OUT, help="Write the answer as JSON (- is stdout).")


@click.group()
def webhooks() -> None:
    """Whom jobs tell what became of them."""


@webhooks.command("show")
@OUT
@URL
def show(out: Path | None, url: str | None) -> None:
    """Say whom jobs tell that name no address of their own."""
    found = client_at(url).get("/v1/webhooks")
    write_json(out, found)
    if shows_table(out):
        secret = "a secret signs" if found["has_secret"] else "no secret yet: argus webhooks secret"
        gone = f", which answered 410 at {found['gone_at'][:19]}" if found["gone_at"] else ""
        click.echo(f"{found['url'] or 'nobody'}{gone}: {', '.join(found['events'])}; {secret}")


@webhooks.command("set")
@click.argument("address")
@click.option("--event", "events", multiple=True, type=click.Choice(EVENTS), help="Again for each; default: job.done.")
@OUT
@URL
def set_address(address: str, events: tuple[str, ...], out: Path | None, url: str | None) -> None:
    """Have jobs tell ADDRESS from now on; `none`: nobody."""
    body: dict[str, Any] = {"url": None if address == "none" else address}
    if events:
        body["events"] = list(events)
    found = client_at(url).send("PUT", "/v1/webhooks", body)
    _tell(out, found, f"Jobs tell {found['url'] or 'nobody'}: {', '.join(found['events'])}")


@webhooks.command("secret")
@OUT
@URL
def secret(out: Path | None, url: str | None) -> None:
    """Make the secret that signs, and print it: it is told this once. The one before signs too for a day."""
    made = client_at(url).send("POST", "/v1/webhooks/secret", {})
    _tell(out, made, made["secret"])


@webhooks.command("test")
@click.argument("address", required=False)
@OUT
@URL
def test(address: str | None, out: Path | None, url: str | None) -> None:
    """Tell ADDRESS, else the one that is set, that all is well."""
    event = client_at(url).send("POST", "/v1/webhooks/test", {"url": address})
    _tell(out, event, f"Event {event['id']} goes to {event['url']}: argus webhooks list")


@webhooks.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--job", type=click.UUID, help="Only those of this job.")
@click.option("--last", type=Whole(1, 1000), default=20, show_default=True, help="How many, the newest first.")
@OUT
@URL
def listed(state: str | None, job: uuid.UUID | None, last: int, out: Path | None, url: str | None) -> None:
    """List events, newest first: what is told or was."""
    from rich.table import Table

    wanted = {"per_page": last, "state": state, "job_id": job}
    query = "&".join(f"{name}={value}" for name, value in wanted.items() if value is not None)
    found = client_at(url).get(f"/v1/webhooks/events?{query}")
    write_json(out, found)
    if shows_table(out):
        table = Table("event", "type", "job", "to", "state", "tries", "at", title=f"{found['total']} events")
        for event in found["events"]:
            about = (event["id"], event["type"], event["job_id"] or "–", event["url"], event["state"])
            table.add_row(*about, str(event["attempts"]), event["created_at"][:19])
        make_console().print(table)


@webhooks.command("replay")
@click.argument("events", nargs=-1, type=click.UUID)
@click.option("--state", type=click.Choice(STATES), help="Those in this state; without EVENTS and options: failed.")
@click.option("--job", type=click.UUID, help="Those of this job.")
@OUT
@URL
def replay(
    events: tuple[uuid.UUID, ...], state: str | None, job: uuid.UUID | None, out: Path | None, url: str | None
) -> None:
    """Tell EVENTS once more, with the same ids; or all that failed."""
    client = client_at(url)
    if events:
        for event in events:
            client.send("POST", f"/v1/webhooks/events/{event}/replay", {})
        count = len(events)
    else:
        wanted = {"state": state or (None if job else "failed"), "job_id": str(job) if job else None}
        count = client.send("POST", "/v1/webhooks/replay", wanted)["replayed"]
    _tell(out, {"replayed": count}, f"{count} events are told once more.")


def _tell(out: Path | None, answer: Any, sentence: str) -> None:
    """The answer as JSON where that is asked for, and what it says."""
    write_json(out, answer)
    if shows_table(out):
        click.echo(sentence)
