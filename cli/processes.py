"""The processes Argus is made of: how `argus up` starts each, and where they answer.

========= =====================================================
worker    generates images, one a device
scheduler routes, plans, reconciles
web       pages and REST
beat      Celery's clock: publishes Tick, Reconcile and Learn
quality   scores images
flower    Celery's monitor
========= =====================================================

Each is `argus run NAME` (`cli/run.py`), the same command that containers and systemd use.
"""

from __future__ import annotations

import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from core.devices import checked, local_devices, worker_name
from core.settings import settings
from core.supervisor import Child
from core.web_settings import is_loopback

FLOWER_PASSWORDS = ("FLOWER_BASIC_AUTH", "FLOWER_AUTH")  # Flower's own settings
FLOWER_OFF = "not started: others would reach it without a password. Set FLOWER_BASIC_AUTH=user:password."
ARGUS = (sys.executable, str(Path(__file__).parent / "launch"))


def everything() -> list[Child]:
    """All processes of this host, in the order they are started.

    Only web is waited for. What the first image does not need comes after it, so as not to take the cores from what it
    does: workers and scheduler.
    """
    workers = [worker(device) for device in local_devices()]
    monitor = [] if flower_lacks_password() else [process("flower")]
    return [*workers, process("scheduler"), web(), process("beat"), process("quality"), *monitor]


def flower_lacks_password() -> bool:
    """Whether others would reach Flower, which knows no keys of Argus, without any password: then it is not started."""
    alone = is_loopback(settings().host) or (settings().open and not settings().keys)
    return not (alone or any(os.environ.get(name) for name in FLOWER_PASSWORDS))


def process(name: str) -> Child:
    """One of the processes that need nothing but their name."""
    serving = {"scheduler": consumes(f"scheduler@{socket.gethostname()}"), "flower": lambda pid: answers(flower_url())}
    serving["quality"] = consumes(f"quality@{socket.gethostname()}")
    return Child(name, [*ARGUS, "run", name], serving=serving.get(name, lambda pid: True))


def web() -> Child:
    """Pages and REST; up when it answers. A new one listens beside the old, so that no connection is refused."""
    argv = [*ARGUS, "run", "web"]
    return Child("web", argv, ready=lambda: answers(f"{web_url()}/healthz"), serving=listens, overlap=True)


def worker(device: str) -> Child:
    """The generation worker of a device."""
    name, argv = f"worker-{device.replace(':', '')}", [*ARGUS, "run", "worker", "--device", checked(device)]
    return Child(name, argv, serving=consumes(worker_name(device)))


def consumes(node: str) -> Callable[[int], bool]:
    """Whether the process of an id is the Celery worker of this name, and answers."""

    def serving(pid: int) -> bool:
        from core.queues import process_of

        return process_of(node) == pid

    return serving


def listens(pid: int) -> bool:
    """Whether the process of an id, or a child of it, accepts connections on the port of web."""
    import psutil

    try:
        found = [psutil.Process(pid), *psutil.Process(pid).children()]
        return any(
            (where.status, where.laddr.port) == (psutil.CONN_LISTEN, settings().port)
            for process in found
            for where in process.net_connections("tcp")
        )
    except psutil.Error:
        return False


def web_url() -> str:
    """Address of the web app, for one who is on this machine."""
    return f"http://{reachable(settings().host)}:{settings().port}"


def flower_url() -> str:
    """Address of Flower, for one who is on this machine."""
    return f"http://{reachable(settings().host)}:{settings().flower_port}"


def reachable(host: str) -> str:
    """An address to connect to where `host` is listened on."""
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else host


def answers(url: str) -> bool:
    """Whether something speaks HTTP at this address, be it only to refuse."""
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
