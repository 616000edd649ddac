"""`argus restart`: replace the processes that run here, one after the other."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from cli.rolling import ASKED
from cli.stack import Running, running
from cli.terminal import JSON_OUT, make_console, shows_table, write_json
from core.errors import Conflict, ServiceDown
from core.settings import settings

TAKEN_S = 10.0  # the supervisor looks twice a second
FOUNDATIONS = ("postgres", "valkey")


@click.command()
@click.argument("names", nargs=-1)
@click.option("--json", "out", type=JSON_OUT, help="Write the seconds each took as JSON (- is stdout).")
def restart(names: tuple[str, ...], out: Path | None) -> None:
    """Replace processes one after the other; nothing accepted is lost or refused.

    NAMES as `argus status` shows them, or `worker` for all workers; default: all but PostgreSQL and the broker, which
    are replaced only by name. A worker takes nothing new, finishes what it draws or gives it back, and its successor
    serves before the next one is touched. New code takes effect, new settings do not: the supervisor hands on its own.
    """
    console, here = make_console(stderr=not shows_table(out)), running()
    if here is None:
        raise ServiceDown("Argus does not run here; start it with `make up` or `argus up`.")
    asked = chosen(names, here)
    if here.restarting or (settings().run_folder / ASKED).exists():
        raise Conflict("A restart is at work already; `argus status` shows it.")
    ask(asked)
    begun = last = time.monotonic()
    waiting, took = list(asked), dict[str, float]()
    with console.status("replacing …"):
        while waiting:
            left = _left(waiting, begun)
            for name in waiting[: len(waiting) - len(left)]:
                if now_at(name) == here.children[name]:
                    raise Conflict(
                        f"{name} was not replaced; the others are left as they are. See logs/supervisor.log."
                    )
                took[name] = round(time.monotonic() - last, 1)
                console.print(f"  {name}: {took[name]:.1f} s", highlight=False)
                last = time.monotonic()
            waiting = left
            time.sleep(0.1)
    write_json(out, {"replaced": took})
    console.print(f"Replaced {len(asked)} processes in {time.monotonic() - begun:.0f} s.")


def chosen(names: tuple[str, ...], here: Running) -> list[str]:
    """The children that are meant, in the order they are replaced in."""
    known = [name for name in here.children if name not in FOUNDATIONS]
    wanted: list[str] = []
    for name in names:
        found = [child for child in known if child.startswith("worker-")] if name == "worker" else [name]
        if not set(found) <= set(here.children):
            raise click.UsageError(f"No process {name!r} runs here. There are: {', '.join(here.children)}.")
        wanted += found
    return list(dict.fromkeys(wanted)) if names else known


def ask(names: list[str]) -> None:
    """Have the supervisor begin."""
    path = settings().run_folder / ASKED
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(names))
    partial.replace(path)


def now_at(name: str) -> int | None:
    """Process id of a child now."""
    here = running()
    return here.children.get(name) if here else None


def _left(waiting: list[str], begun: float) -> list[str]:
    """What is left of what was asked; raises `ServiceDown` when nobody takes it up."""
    here = running()
    if here is None:
        raise ServiceDown("Argus was stopped meanwhile.")
    if (settings().run_folder / ASKED).exists():
        if time.monotonic() > begun + TAKEN_S:
            (settings().run_folder / ASKED).unlink(missing_ok=True)
            raise ServiceDown("The supervisor does not answer; see logs/supervisor.log.")
        return waiting
    return [name for name in waiting if name in here.restarting]
