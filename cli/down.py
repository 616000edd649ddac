"""`argus down`: stop the Argus that runs here."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import click
import psutil

from cli.lock import lock_is_free, lock_path
from cli.terminal import JSON_OUT, make_console, shows_table, write_json
from core.errors import Conflict

STOP_S = 90.0  # a supervisor stops its children one after the other


@click.command()
@click.option("--json", "out", type=JSON_OUT, help="Write what was stopped as JSON (- is stdout).")
def down(out: Path | None) -> None:
    """Stop the Argus that runs here.

    Requests that are being drawn are given a few seconds; what remains is drawn when Argus is up again.
    """
    console = make_console(stderr=not shows_table(out))
    if lock_is_free():
        write_json(out, {"stopped": None})
        console.print("Argus does not run here.")
        return
    pid = int(lock_path().read_text())
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError:
        raise Conflict(f"Process {pid} belongs to another user, who must stop it.") from None
    end = time.monotonic() + STOP_S
    with console.status(f"stopping process {pid} …"):
        while not lock_is_free():
            if time.monotonic() > end:
                raise Conflict(f"Process {pid} is still stopping after {STOP_S:.0f} s; its logs are in var/logs.")
            time.sleep(0.1)
        with suppress(psutil.Error):
            psutil.Process(pid).wait(5)  # it has stopped everything and is about to leave
    write_json(out, {"stopped": pid})
    console.print("Argus is down.")
