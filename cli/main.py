"""The `argus` command. Commands are imported when they are run, so `argus --help` answers at once.

Exit status: 0 done, 1 failed, 2 wrong use. A failure is one line, `error [code] what is wrong and what to do`.
"""

from __future__ import annotations

import errno
import importlib
import io
import sys
from typing import Any

import click

from cli.interrupted import INTERRUPTED
from core.errors import ArgusError, BadFile, BadInput, BadSettings, ServiceDown

# name → where the click command lives, and the line `argus --help` shows.
COMMANDS = {
    "up": ("cli.up:up", "Start Argus and keep it running until Ctrl-C."),
    "down": ("cli.down:down", "Stop the Argus that runs here."),
    "migrate": (
        "cli.migrate:migrate",
        "Bring the database to the newest schema, at once or in halves.",
    ),
    "restart": ("cli.restart:restart", "Replace processes one after the other; nothing accepted is lost or refused."),
    "backup": ("cli.backup:backup", "Write database, images and measurements into FOLDER."),
    "restore": ("cli.backup:restore", "Put a backup into a home folder that has no jobs."),
    "status": ("cli.status:status", "Say what runs: addresses, processes, workers, queues."),
    "generate": ("cli.generate:generate", "Draw images of prompts with the Argus that runs."),
    "jobs": ("cli.jobs:jobs", "List jobs, newest first: what was sent and how far it is."),
    "webhooks": ("cli.webhooks:webhooks", "Whom jobs tell what became of them."),
    "cancel": ("cli.moves:cancel", "Cancel what is open of JOB, or what is selected; images that exist stay."),
    "pause": ("cli.moves:pause", "Have nothing more of JOB begin for now; what runs is drawn."),
    "resume": ("cli.moves:resume", "Go on with what is paused of JOB."),
    "retry": ("cli.moves:retry", "Draw again what failed or was cancelled of JOB: same ids, same seeds."),
    "prune": ("cli.prune:prune", "Remove jobs that have ended and are older than they are kept."),
    "reindex": ("cli.reindex:reindex", "Rebuild the indexes of the tables that change most, while Argus runs."),
    "wait": ("cli.results:wait", "Wait until nothing of JOB is open, and say how far it is meanwhile."),
    "results": ("cli.results:results", "Write the images of JOB and their manifest into a folder or a bucket."),
    "reorder": ("cli.moves:reorder", "Say what of the background work is drawn first."),
    "keys": (
        "cli.keys:keys",
        "Make, list, replace and revoke keys of tenants.",
    ),
    "tenants": (
        "cli.tenants:tenants",
        "Make, list and change tenants: who owns jobs, and what share and quota they have.",
    ),
    "profile": ("cli.profile:profile", "Measure what every level costs on this machine."),
    "calibrate": ("cli.calibrate:calibrate", "Find what a level needs to know of its model, on a few prompts."),
    "evaluate": ("cli.evaluate:evaluate", "Measure what quality every level of a family keeps, by its scorer."),
    "solve": (
        "cli.solve:solve",
        "Plan the instance in FILE (JSON): workers per model, load per class and level, prices.",
    ),
    "simulate": (
        "cli.simulate:simulate",
        "Run policies over a trace on a virtual clock, with the live planner and router.",
    ),
    "replay": (
        "cli.replay:replay",
        "Send the arrivals of a trace to a running Argus, on time, and say what became of them.",
    ),
    "report": ("cli.report:report", "Throughput, latency, SLO violations and quality of what was served."),
    "psql": ("cli.psql:psql", "Run SQL in the database of Argus; --report: as a role that only reads."),
    "doctor": ("cli.doctor:doctor", "Say what is wrong with this machine or configuration, and what to do."),
    "settings": ("cli.settings:show_settings", "List every setting with its value and meaning."),
    "run": ("cli.run:run", "Run one process of Argus in the foreground (containers, systemd)."),
    "ping": ("cli.ping:ping", "Ask a Celery process of this host whether it answers (health checks)."),
}


class Failed(click.ClickException):
    """An `ArgusError` as the command line shows it."""

    def __init__(self, error: ArgusError) -> None:
        place = f"{error.field}: " if error.field and error.field not in error.message else ""
        super().__init__(place + error.message)
        self.code = error.code
        self.help = error.help
        self.wrong_use = isinstance(error, BadInput | BadSettings)

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        return 2 if self.wrong_use else 1

    def show(self, file: Any = None) -> None:
        click.echo(f"error [{self.code}] {self.message}\n  {self.help}", err=True)


class Commands(click.Group):
    """A group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ArgusError as error:
            raise Failed(error) from error
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            raise SystemExit(INTERRUPTED) from None
        except Exception as error:
            if known := _known(error):
                raise Failed(known) from error
            raise


def _known(error: Exception) -> ArgusError | None:
    """What is no fault of ours, in our words: a service that is away, a file that cannot be used."""
    if what := _away(error):
        return ServiceDown(f"The {what} does not answer: {str(error).splitlines()[0]}")
    if isinstance(error, UnicodeDecodeError):
        return BadFile(f"What was read is not UTF-8 (byte 0x{error.object[error.start]:02X}). Save it as UTF-8.")
    if isinstance(error, OSError) and error.errno != errno.EPIPE:  # a pipe that ended: click leaves quietly
        return BadFile(f"{error.filename or 'A file'}: {error.strerror or error}.")
    return None


def _away(error: Exception) -> str | None:
    """Which service an exception says is away. Its classes are not imported for this: most commands need neither."""
    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}
    if ("sqlalchemy", "OperationalError") in kinds:
        return "database"
    return "broker" if ("kombu", "OperationalError") in kinds or ("redis", "ConnectionError") in kinds else None


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="argus")
def argus() -> None:
    """Argus: text-to-image batch generation that keeps its latency target by approximating the right prompts.

    Start with `argus up`; `argus doctor` says what is wrong when something is. Settings are environment variables
    (`argus settings`). Every command prints a table for people; those with --json write the same for programs.
    """


def main() -> None:
    """Entry point of the `argus` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter shows a question mark
    try:
        argus(prog_name="argus")
    except BrokenPipeError:  # `argus report | head`
        sys.stderr.close()
        sys.exit(1)
