"""`argus up`, `down` and `status`: the life of everything under one supervisor.

One Argus a home folder: the lock `home`/run/argus.lock is held by the supervisor as long as it lives, so whoever finds
it free knows that nothing runs, however the last run ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

import click
import psutil
from rich.console import Console
from rich.table import Table

from app import processes
from app.terminal import make_console
from core import services
from core.errors import ArgusError, BadSettings, Conflict, ServiceDown
from core.settings import ROOT, settings
from core.supervisor import Supervisor

WATCH_S = 0.5
STOP_S = 90.0  # a supervisor stops its children one after the other
STATE = "argus.json"


@dataclass(frozen=True)
class Running:
    """What the supervisor says of itself in `home`/run/argus.json."""

    pid: int
    web: str
    flower: str
    started_at: float
    children: dict[str, int]  # name → process id
    ready: bool


def running() -> Running | None:
    """The Argus that runs on this home folder, or nothing."""
    if _lock_is_free():
        return None
    try:
        return Running(**json.loads((settings().run_folder / STATE).read_text()))
    except (OSError, ValueError, TypeError):
        return None  # it is just starting


def base_url() -> str:
    """Address of the web app: of the Argus that runs here, else the one the settings name (a container, another host)."""
    here = running()
    return here.web if here else processes.web_url()


@click.command()
@click.option("--detach", is_flag=True, help="Start in the background and return when it is up.")
@click.option("--first-job/--no-first-job", default=True, help="Draw a first small job of real prompts.")
def up(detach: bool, first_job: bool) -> None:
    """Start Argus and keep it running until Ctrl-C.

    Database and broker (unless ARGUS_DATABASE_URL and ARGUS_BROKER_URL name others), web, beat, scheduler, a generation
    worker a device, quality worker and Flower run under one supervisor, which restarts what crashes. Logs are in
    var/logs. A second `argus up` says that one runs and changes nothing.
    """
    console = make_console()
    if here := running():
        console.print(f"Argus runs already (process {here.pid}): {here.web}", soft_wrap=True)
        return
    if detach:
        here = _detach(console)
        _welcome(console, here)
        if first_job:
            _first_job(console, here.web)
        return
    with _only_one(), _until_stopped(), _stack(console) as stack:
        stack.bring_up()
        _welcome(console, stack.state)
        if first_job:
            _first_job(console, stack.state.web, stack.watch)
        console.print("It stays up until Ctrl-C or `make down`.")
        while True:
            time.sleep(WATCH_S)
            stack.watch()


class Stack:
    """Everything `argus up` runs. The thread that starts it must live as long as it: children die with that thread."""

    def __init__(self, console: Console) -> None:
        self.home = settings().home.absolute()
        self.console = console
        self.supervisor = Supervisor(self.home / "logs")
        self.state = Running(os.getpid(), processes.web_url(), processes.flower_url(), time.time(), {}, False)

    def bring_up(self) -> None:
        """Start all, and wait until web answers.

        Raises:
            BadSettings: a port is taken, a device is not there.
            ServiceDown: something did not come up; the end of its log is in the message.
        """
        children = processes.everything()
        check_ports()
        self._write_state(ready=False)
        with self._step("PostgreSQL and broker"):
            self._start_services()
        with self._step("schema"):
            from core.database import migrate

            migrate()
        with self._step(", ".join(child.name for child in children)):
            for child in children:
                self.supervisor.start(child)
        self._write_state(ready=True)

    def watch(self) -> None:
        """Restart what has ended, and say so."""
        restarted = self.supervisor.watch_once()
        for name in restarted:
            self.console.print(f"[yellow]{name} ended and was started again[/]: {self.home / 'logs'}/{name}.log")
        if restarted:
            self._write_state(ready=True)

    def close(self) -> None:
        """Stop all; afterwards nothing of it is left but data and logs."""
        with self._step("stopping"):
            self.supervisor.stop()
        for name in (STATE, services.ADDRESSES):
            (settings().run_folder / name).unlink(missing_ok=True)

    def _start_services(self) -> None:
        database, broker = settings().database_url, settings().broker_url
        if not database:
            child, database = services.postgres(self.home)
            self.supervisor.start(child)
        if not broker:
            child, broker = services.valkey(self.home)
            self.supervisor.start(child)
        if not services.broker_answers(broker):
            raise ServiceDown("The broker of ARGUS_BROKER_URL does not answer.", field="ARGUS_BROKER_URL")
        services.remember_addresses(self.home, database, broker)

    def _write_state(self, ready: bool) -> None:
        self.state = Running(**{**asdict(self.state), "children": self.supervisor.pids(), "ready": ready})
        path = settings().run_folder / STATE
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self.state), indent=1))
        partial.replace(path)

    @contextmanager
    def _step(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        with self.console.status(f"{what} …"):
            yield
        self.console.print(f"  {what}: {time.monotonic() - begun:.1f} s", highlight=False)


@contextmanager
def _stack(console: Console) -> Iterator[Stack]:
    stack = Stack(console)
    try:
        yield stack
    finally:
        stack.close()


@contextmanager
def _only_one() -> Iterator[None]:
    """Hold the lock of the home folder, with our process id in it; raises `Conflict` when another holds it."""
    path = _lock_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"Another `argus up` is starting or stopping on {settings().home}.") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _lock_path() -> Path:
    return settings().run_folder / "argus.lock"


def _lock_is_free() -> bool:
    try:
        with _lock_path().open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False


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


def _detach(console: Console) -> Running:
    """Start a supervisor of its own session and wait until it is up."""
    log = settings().home.absolute() / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        argv = [*processes.PYTHON, "app.cli", "up", "--no-first-job"]
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True, cwd=ROOT
        )
    with console.status("starting …"):
        while True:
            if child.poll() is not None:
                click.echo(log.read_text(errors="replace").rstrip(), err=True)
                raise SystemExit(child.returncode or 1)
            here = running()
            if here is not None and here.ready:
                return here
            time.sleep(0.2)


def _first_job(console: Console, url: str, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Draw a few real prompts and show what came of them; a failure here leaves Argus up."""
    from app.generate import first_job

    try:
        first_job(console, url, meanwhile)
    except ArgusError as error:
        console.print(f"The first job failed: error [{error.code}] {error.message}", style="red", markup=False)


def _welcome(console: Console, here: Running) -> None:
    console.print(
        f"Argus is up.\n  pages   {here.web}\n  API     {here.web}/docs\n  Flower  {here.flower}", highlight=False
    )
    console.print(f"  data, logs  {settings().home.absolute()}", highlight=False, soft_wrap=True)


@click.command()
def down() -> None:
    """Stop the Argus that runs here.

    Requests that are being drawn are given a few seconds; what remains is drawn when Argus is up again.
    """
    console = make_console()
    if _lock_is_free():
        console.print("Argus does not run here.")
        return
    pid = int(_lock_path().read_text())
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError:
        raise Conflict(f"Process {pid} belongs to another user, who must stop it.") from None
    end = time.monotonic() + STOP_S
    with console.status(f"stopping process {pid} …"):
        while not _lock_is_free():
            if time.monotonic() > end:
                raise Conflict(f"Process {pid} is still stopping after {STOP_S:.0f} s; its logs are in var/logs.")
            time.sleep(0.1)
        with suppress(psutil.Error):
            psutil.Process(pid).wait(5)  # it has stopped everything and is about to leave
    console.print("Argus is down.")


@click.command()
def status() -> None:
    """Say what runs: addresses, processes, workers, queues."""
    console = make_console()
    here = running()
    if here is None:
        console.print("Argus does not run here; start it with `make up` or `argus up`.")
        raise SystemExit(1)
    _welcome(console, here)
    console.print(_processes_table(here), _workers_table(), _queues_table())


def _processes_table(here: Running) -> Table:
    table = Table("process", "id", "log", title="Processes")
    for name, pid in here.children.items():
        table.add_row(name, str(pid), f"logs/{name}.log")
    return table


def _workers_table() -> Table:
    """Generation workers as they last described themselves."""
    from sqlalchemy import func, select

    from core.database import transaction
    from core.tables import Worker

    table = Table("worker", "state", "models", "queues", "seen", title="Generation workers")
    age = func.extract("epoch", func.now() - Worker.seen_at)
    with transaction() as session:
        for row, seconds in session.execute(select(Worker, age).order_by(Worker.name)):
            table.add_row(row.name, row.state, ", ".join(row.models), str(len(row.queues)), f"{seconds:.0f} s ago")
    return table


def _queues_table() -> Table:
    """Messages that wait, a queue."""
    table = Table("queue", "messages", title="Waiting messages")
    for queue, length in waiting().items():
        table.add_row(queue, str(length))
    return table


def waiting() -> dict[str, int]:
    """Messages waiting in each queue of the family served, and in those of router, scheduler and quality."""
    import redis

    from core.families import load_family
    from core.messages import QUALITY_QUEUE, ROUTER_QUEUE, SCHEDULER_QUEUE

    family = load_family(settings().family)
    queues = [ROUTER_QUEUE, SCHEDULER_QUEUE, QUALITY_QUEUE, *(family.queue(level) for level in family.levels)]
    with redis.Redis.from_url(services.broker_url()) as client:
        return {queue: int(client.llen(queue)) for queue in queues}  # type: ignore[arg-type]
