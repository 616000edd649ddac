"""A small supervisor: start children in order, restart what crashes, stop them together.

Why not systemd, supervisord or honcho: `make up` must need nothing but Python, PostgreSQL must run under another user
when Argus is root, and nothing may outlive the supervisor, however it ends (children get a parent-death signal).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from core.errors import ServiceDown
from core.log_files import bound_logs, last_lines

log = structlog.get_logger(__name__)
LIBC = ctypes.CDLL(None, use_errno=True)  # loaded before any fork
PR_SET_PDEATHSIG = 1
BACKOFF_S = (0.5, 1, 2, 5, 10)  # waits before the 1st, 2nd, … restart in a row
STEADY_S = 60.0  # a child that ran so long starts over with the first wait


@dataclass(frozen=True)
class Child:
    """What to run and how to tell that it is up.

    `prepare` is called before each start, so that files it needs are there even if somebody removed them; `ready` is
    polled until true, at most `patience_s`; `stop_signal` asks it to leave (PostgreSQL: SIGINT is a fast
    shutdown); `user` is a numeric id to run as, when Argus itself is root.

    `serving` is asked of a process id when a new process replaces one that runs; one that may `overlap` is told to
    leave when its successor serves, another before that one is started.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None
    prepare: Callable[[], None] = lambda: None
    ready: Callable[[], bool] = lambda: True
    serving: Callable[[int], bool] = lambda pid: True
    overlap: bool = False
    patience_s: float = 60.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_patience_s: float = 15.0
    foundation: bool = False  # others stand on it: it is stopped after them


@dataclass
class _Running:
    child: Child
    process: subprocess.Popen[bytes]
    since: float
    crashes: int = 0
    restart_at: float | None = None
    trouble: str = ""  # why it ended or could not be started, as long as it has not run steadily since


@dataclass
class _Leaving:
    """A process that is being replaced."""

    process: subprocess.Popen[bytes]
    kill_at: float | None = None  # set when it was told to leave


def die_with(parent: int, how: signal.Signals = signal.SIGKILL) -> None:
    """In a child of the process `parent`: end when that does, at once, also when it is gone already.

    One that went on would work beside its successor.
    """
    LIBC.prctl(PR_SET_PDEATHSIG, int(how))
    if os.getppid() != parent:
        os._exit(1)


def spawn(child: Child, log_folder: Path) -> subprocess.Popen[bytes]:
    """Start a child that ends with this thread and appends what it says to its log."""
    log_folder.mkdir(parents=True, exist_ok=True)
    child.prepare()
    parent = os.getpid()
    with open(log_folder / f"{child.name}.log", "ab") as sink:
        return subprocess.Popen(
            list(child.argv),
            env={**os.environ, **child.env},
            user=child.user,
            group=child.user,
            extra_groups=[] if child.user is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops them in order
            preexec_fn=lambda: die_with(parent, child.stop_signal if child.foundation else signal.SIGKILL),
        )


class Supervisor:
    """Owns its children from `start` to `stop`."""

    def __init__(self, log_folder: Path) -> None:
        self._log_folder = log_folder
        self._running: dict[str, _Running] = {}
        self._leaving: dict[str, _Leaving] = {}
        self._lock = threading.RLock()

    def start(self, child: Child) -> None:
        """Start a child and wait until it is ready.

        Raises:
            ServiceDown: it ended before it was ready, or took too long; the end of its log is in the message.
        """
        with self._lock:
            self._running[child.name] = _Running(child, spawn(child, self._log_folder), time.monotonic())
        self._wait_ready(child)

    def watch_once(self) -> list[str]:
        """Restart children that have ended and whose wait is over; returns the names restarted. Logs stay bounded."""
        bound_logs(self._log_folder)
        with self._lock:
            for name, leaving in list(self._leaving.items()):
                self._see_off(self._running[name], leaving)
            return [run.child.name for run in self._running.values() if self._revive(run)]

    def replace(self, name: str) -> None:
        """Begin to put a new process in a child's place; `watch_once` goes on with it. Raises `OSError`."""
        with self._lock:
            run = self._running[name]
            self._leaving[name] = leaving = _Leaving(run.process)
            if run.child.overlap:
                run.process, run.since, run.restart_at = spawn(run.child, self._log_folder), time.monotonic(), None
            else:
                _tell_to_leave(run.child, leaving)

    def is_replaced(self, name: str) -> bool:
        """Whether the one before has left and the new one serves."""
        with self._lock:
            run = self._running[name]
            here = name not in self._leaving and run.process.poll() is None
            return here and run.child.serving(run.process.pid)

    def troubles(self) -> dict[str, str]:
        """Why children ended or could not be started, of those that have not run steadily since."""
        with self._lock:
            return {name: run.trouble for name, run in self._running.items() if run.trouble}

    def pids(self) -> dict[str, int]:
        with self._lock:
            return {name: run.process.pid for name, run in self._running.items()}

    def stop(self) -> None:
        """Stop all children at once, foundations after the others; kill those that do not leave in time."""
        with self._lock:
            runs = list(self._running.values())
            others = [(self._running[name].child, leaving.process) for name, leaving in self._leaving.items()]
            runs += [_Running(child, process, 0.0) for child, process in others]
            self._running.clear()
            self._leaving.clear()
        self._stop([run for run in runs if not run.child.foundation])
        self._stop([run for run in runs if run.child.foundation])

    def _wait_ready(self, child: Child) -> None:
        end = time.monotonic() + child.patience_s
        while not child.ready():
            run = self._running.get(child.name)
            if run is None or run.process.poll() is not None or time.monotonic() > end:
                raise ServiceDown(f"{child.name} did not come up. Its log ends:\n{self.tail(child.name)}")
            time.sleep(0.05)

    def _see_off(self, run: _Running, leaving: _Leaving) -> None:
        """Tell a process to leave once its successor serves; kill it if it takes too long."""
        if leaving.process.poll() is not None:
            del self._leaving[run.child.name]
            if leaving.process is run.process:
                run.restart_at = time.monotonic()  # its successor starts now
        elif leaving.kill_at is None:
            if run.process.poll() is None and run.child.serving(run.process.pid):
                _tell_to_leave(run.child, leaving)
        elif time.monotonic() > leaving.kill_at:
            log.warning("child killed", child=run.child.name)
            os.killpg(leaving.process.pid, signal.SIGKILL)

    def _revive(self, run: _Running) -> bool:
        leaving = self._leaving.get(run.child.name)
        if leaving is not None and leaving.process is run.process:
            return False  # its end was asked for, and `_see_off` sees it, though it may come at any moment
        now, code = time.monotonic(), run.process.poll()
        if code is None:
            if now - run.since > STEADY_S:
                run.crashes, run.trouble = 0, ""
            return False
        if run.restart_at is None:
            self._put_off(run, f"ended with status {code}: {self.tail(run.child.name, 1)}")
        if run.restart_at is None or now < run.restart_at:
            return False
        try:
            run.process, run.since, run.restart_at = spawn(run.child, self._log_folder), now, None
        except OSError as error:  # a full disk, a program that is gone: it may be there again later
            self._put_off(run, f"could not be started: {error}")
            return False
        return True

    def _put_off(self, run: _Running, trouble: str) -> None:
        """Note what happened, and when to try again."""
        wait = BACKOFF_S[min(run.crashes, len(BACKOFF_S) - 1)]
        run.crashes, run.trouble, run.restart_at = run.crashes + 1, trouble, time.monotonic() + wait
        log.warning("child away", child=run.child.name, trouble=trouble, restart_in_s=wait)

    def _stop(self, runs: Sequence[_Running]) -> None:
        alive = [run for run in runs if run.process.poll() is None]
        for run in alive:
            run.process.send_signal(run.child.stop_signal)
        asked = time.monotonic()
        for run in alive:
            try:
                run.process.wait(max(0.0, asked + run.child.stop_patience_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("child killed", child=run.child.name)
                os.killpg(run.process.pid, signal.SIGKILL)
                run.process.wait()

    def tail(self, name: str, lines: int = 15) -> str:
        """The last lines of a child's log."""
        return last_lines(self._log_folder / f"{name}.log", lines)


def _tell_to_leave(child: Child, leaving: _Leaving) -> None:
    leaving.process.send_signal(child.stop_signal)
    leaving.kill_at = time.monotonic() + child.stop_patience_s
