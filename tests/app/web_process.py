"""The web server as `argus up` starts it: a process of its own, on the services of the tests."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from cli.processes import ARGUS, answers
from core.services import free_port
from core.supervisor import Child, Supervisor
from tests.conftest import Services

PATIENCE_S = 60.0  # on a busy machine; what never answers takes longer
HEAD = "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@dataclass
class Web:
    """A running web process."""

    port: int
    supervisor: Supervisor
    log_file: Path
    log_start: int = 0  # bytes that web processes of other tests had written there
    at_rest: int = 0  # bytes of memory before anything special happens

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self.supervisor.pids()["web"]

    def log(self) -> str:
        """What this process wrote."""
        return self.log_file.read_bytes()[self.log_start :].decode(errors="replace")

    def connect(self) -> socket.socket:
        """A connection of its own."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def call(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """Status and body of an answer."""
        asked = Request(self.url + path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        try:
            with urlopen(asked, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()

    def submit(self, **body: Any) -> dict[str, Any]:
        """Submit a job that is accepted."""
        status, answer = self.call("/v1/jobs", json.dumps(body).encode(), Content_Type="application/json")
        assert status == 202, answer
        return dict(json.loads(answer))

    def memory(self, name: str = "VmRSS") -> int:
        """Bytes of memory; `VmHWM` is the most since `forget_peak`."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith(name)))

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


@contextmanager
def web_process(services: Services, family: Path, **more: str) -> Iterator[Web]:
    """A web process that serves the family; settings are added by name (`ARGUS_…`)."""
    port, folder = free_port(), services.home / "logs" / "web"
    supervisor, log_file = Supervisor(folder), folder / "web.log"
    log_start = log_file.stat().st_size if log_file.exists() else 0
    env = {**services.environ(), "ARGUS_FAMILY": str(family), "ARGUS_PORT": str(port), **more}
    health = f"http://127.0.0.1:{port}/healthz"
    try:
        supervisor.start(Child("web", [*ARGUS, "run", "web"], env=env, ready=lambda: answers(health)))
        yield Web(port, supervisor, log_file, log_start)
    finally:
        supervisor.stop()


@dataclass
class Watch:
    """Asks for health, and submits, again and again while something else goes on."""

    web: Web
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __enter__(self) -> Watch:
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(ask,)) for ask in (self._health, self._submit)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, ask: Any) -> None:
        while not self._end.wait(0.1):
            began = time.monotonic()
            try:
                ask()
            except (OSError, AssertionError) as error:
                self.problems.append(repr(error))
            self.seconds.append(time.monotonic() - began)

    def _health(self) -> None:
        assert self.web.call("/healthz")[0] == 200

    def _submit(self) -> None:
        self.web.submit(prompt="a fox")
