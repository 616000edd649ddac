"""What `argus up` keeps running, under one supervisor, and what it says of itself in `home`/run/argus.json."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from cli import processes
from cli.lock import lock_is_free
from cli.rolling import ASKED, RollingRestart
from core import services
from core.errors import BadSettings, ServiceDown
from core.postgres import make_roles, postgres
from core.settings import settings
from core.supervisor import Supervisor

if TYPE_CHECKING:
    from rich.console import Console

STATE = "argus.json"


@dataclass(frozen=True)
class Running:
    """What the supervisor says of itself in `home`/run/argus.json."""

    pid: int
    web: str
    flower: str  # empty: not started
    started_at: float
    children: dict[str, int]  # name → process id
    ready: bool
    troubles: dict[str, str] = field(default_factory=dict)  # name → why it ended or could not be started
    restarting: list[str] = field(default_factory=list)  # names still to be replaced, the one at work first


def running() -> Running | None:
    """The Argus that runs on this home folder, or nothing."""
    if lock_is_free():
        return None
    try:
        return Running(**json.loads((settings().run_folder / STATE).read_text()))
    except (OSError, ValueError, TypeError):
        return None  # it is just starting


def base_url() -> str:
    """Address of the web app: of the Argus that runs here, else as the settings name it (a container, another host)."""
    here = running()
    return here.web if here else processes.web_url()


class Stack:
    """Everything `argus up` runs. The thread that starts it must live as long as it: children die with that thread."""

    def __init__(self, console: Console) -> None:
        self.home = settings().home.absolute()
        self.console = console
        self.supervisor = Supervisor(self.home / "logs")
        self.rolling = RollingRestart(self.supervisor, settings().run_folder)
        monitor = "" if processes.flower_lacks_password() else processes.flower_url()
        self.state = Running(os.getpid(), processes.web_url(), monitor, time.time(), {}, False)

    def bring_up(self) -> None:
        """Start all, and wait until web answers.

        Raises:
            BadSettings: a port is taken, a device is not there.
            ServiceDown: something did not come up; the end of its log is in the message.
        """
        children = processes.everything()
        check_ports()
        self.write_state(ready=False)
        with self._step("PostgreSQL and broker"):
            self._start_services()
        with self._step("schema"):
            from core.database import migrate

            migrate()
        with self._step(", ".join(child.name for child in children)):
            for child in children:
                self.supervisor.start(child)
        self.write_state(ready=True)

    def watch(self) -> None:
        """Restart what has ended, and say so; replace what `argus restart` asked for."""
        restarted = self.supervisor.watch_once()
        for name in restarted:
            if name not in self.rolling.left:
                self.console.print(f"[yellow]{name} ended and was started again[/]: {self.home / 'logs'}/{name}.log")
        self.rolling.advance()
        if self._changed() != self.state:
            self.write_state(ready=True)
        if self.rolling.left:
            self.rolling.acknowledge()

    def close(self) -> None:
        """Stop all; afterwards nothing of it is left but data and logs."""
        with self._step("stopping"):
            self.supervisor.stop()
        for name in (STATE, services.ADDRESSES, ASKED):
            (settings().run_folder / name).unlink(missing_ok=True)

    def _start_services(self) -> None:
        database, broker = settings().database_url, settings().broker_url
        migration, report = settings().migration_url or database, settings().report_url
        if not database:
            child, superuser = postgres(self.home)
            self.supervisor.start(child)
            roles = make_roles(self.home, superuser)
            database, migration, report = roles.app, roles.owner, roles.report
        if not broker:
            child, broker = services.valkey(self.home)
            self.supervisor.start(child)
        if not services.broker_answers(broker):
            raise ServiceDown("The broker of ARGUS_BROKER_URL does not answer.", field="ARGUS_BROKER_URL")
        addresses = {"database_url": database, "migration_url": migration, "report_url": report}
        services.remember_addresses(self.home, **addresses, broker_url=broker)

    def write_state(self, ready: bool) -> None:
        self.state = replace(self._changed(), ready=ready)
        path = settings().run_folder / STATE
        partial = path.with_suffix(".partial")
        try:
            partial.write_text(json.dumps(asdict(self.state), indent=1))
            partial.replace(path)
        except OSError as error:  # a full disk must not stop what runs
            self.console.print(f"{path} could not be written: {error}", style="red", markup=False)

    def _changed(self) -> Running:
        """The state with what is so now."""
        children, troubles = self.supervisor.pids(), self.supervisor.troubles()
        return replace(self.state, children=children, troubles=troubles, restarting=list(self.rolling.left))

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        with self.console.status(f"{what} …"):
            yield
        self.console.print(f"  {what}: {time.monotonic() - begun:.1f} s", highlight=False)


@contextmanager
def started(console: Console) -> Iterator[Stack]:
    """A stack that is stopped at the end, however it ends."""
    stack = Stack(console)
    try:
        yield stack
    finally:
        stack.close()


def check_ports() -> None:
    """Raises `BadSettings` naming the setting whose port somebody else listens on."""
    for name in ("port", "flower_port"):
        port, setting = getattr(settings(), name), f"ARGUS_{name.upper()}"
        if not port_is_free(settings().host, port):
            raise BadSettings(f"Port {port} is taken by another program. Set {setting} to a free one.", field=setting)


def port_is_free(host: str, port: int) -> bool:
    """Whether this address can be listened on.

    Raises:
        BadSettings: `host` is no address of this machine.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror:
            raise BadSettings(f"ARGUS_HOST={host}: not an address of this machine.", field="ARGUS_HOST") from None
        except OSError:
            return False
    return True


def welcome(console: Console, here: Running) -> None:
    """Say where it is."""
    state = "up" if here.ready else "starting"
    lines = [f"Argus is {state}.", f"  pages   {here.web}", f"  API     {here.web}/docs"]
    lines.append(f"  Flower  {here.flower or processes.FLOWER_OFF}")
    console.print("\n".join(lines), highlight=False)
    console.print(f"  data, logs  {settings().home.absolute()}", highlight=False, soft_wrap=True)
