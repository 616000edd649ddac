"""`argus up`: start everything under one supervisor, and keep it running."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from cli import processes
from cli.lock import only_one
from cli.stack import Running, running, started, welcome
from cli.terminal import JSON_OUT, make_console, shows_table, write_json
from core.errors import ArgusError, Unauthorized
from core.home import make_private
from core.postgres import unprivileged
from core.settings import settings

if TYPE_CHECKING:
    from rich.console import Console

WATCH_S = 0.5
WORKER_S = 180.0  # how long the first job waits for a worker


@click.command()
@click.option("--detach", is_flag=True, help="Start in the background and return when it is up.")
@click.option("--first-job/--no-first-job", default=True, help="Draw a first small job of real prompts.")
@click.option("--json", "out", type=JSON_OUT, help="Write addresses and processes as JSON once up (- is stdout).")
def up(detach: bool, first_job: bool, out: Path | None) -> None:
    """Start Argus and keep it running until Ctrl-C.

    Database and broker (unless ARGUS_DATABASE_URL and ARGUS_BROKER_URL name others), web, beat, scheduler, a generation
    worker a device, quality worker and Flower run under one supervisor, which restarts what crashes. Logs are in
    var/logs. A second `argus up` says that one runs and changes nothing.
    """
    console = make_console(stderr=not shows_table(out))
    if here := running():
        write_json(out, asdict(here))
        console.print(f"Argus runs already (process {here.pid}): {here.web}", soft_wrap=True)
        return
    make_private(settings().home.absolute(), unprivileged())
    if detach:
        here = _detach(console)
        welcome(console, here)
        write_json(out, asdict(here))
        if first_job:
            _first_job(console, here.web)
        return
    with only_one(), _until_stopped(), started(console) as stack:
        stack.bring_up()
        welcome(console, stack.state)
        write_json(out, asdict(stack.state))
        if first_job:
            _first_job(console, stack.state.web, stack.watch)
        console.print("It stays up until Ctrl-C or `make down`.")
        while True:
            time.sleep(WATCH_S / 5 if stack.rolling.left else WATCH_S)
            stack.watch()


@contextmanager
def _until_stopped() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal leave this block, from wherever it is; later ones are ignored."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number: int, frame: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise _Stopped

    for each in signals:
        signal.signal(each, stop)
    with suppress(_Stopped):
        yield


class _Stopped(BaseException):
    """We were asked to stop, wherever we are."""


def _detach(console: Console) -> Running:
    """Start a supervisor of its own session and wait until it is up."""
    log = settings().home.absolute() / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = log.stat().st_size if log.exists() else 0
    with log.open("ab") as sink:
        argv = [*processes.ARGUS, "up", "--no-first-job"]
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True
        )
    with console.status("starting …"):
        while True:
            if child.poll() is not None:
                click.echo(log.read_bytes()[begun:].decode(errors="replace").rstrip(), err=True)
                raise SystemExit(child.returncode or 1)
            here = running()
            if here is not None and here.ready:
                return here
            time.sleep(0.2)


def _wait_for_worker(console: Console, url: str, meanwhile: Callable[[], None]) -> None:
    """Return when a generation worker serves, so that the first job's time is drawing time; gives up after a while."""
    from core.client import ArgusClient

    client, end = ArgusClient(url), time.monotonic() + WORKER_S
    with console.status("a generation worker loads its model …"):
        while time.monotonic() < end:
            if any(worker["state"] == "ready" for worker in client.get("/v1/plan")["workers"]):
                return
            meanwhile()
            time.sleep(WATCH_S / 2)


def _first_job(console: Console, url: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Draw a few real prompts and show what came of them; a failure here leaves Argus up."""
    from cli.generate import first_job

    try:
        _wait_for_worker(console, url, meanwhile)
        first_job(console, url, meanwhile)
    except Unauthorized:
        console.print("No first job is drawn: keys are demanded here, and ARGUS_API_KEY has none that is good.")
    except ArgusError as error:
        console.print(f"The first job failed: error [{error.code}] {error.message}", style="red", markup=False)
