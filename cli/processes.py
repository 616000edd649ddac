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

import sys
import urllib.error
import urllib.request
from pathlib import Path

from core.devices import checked, local_devices
from core.settings import settings
from core.supervisor import Child

ARGUS = (sys.executable, str(Path(__file__).parent / "launch"))


def everything() -> list[Child]:
    """All processes of this host, in the order they are started.

    Only web is waited for. What the first image does not need comes after it, so as not to take the cores from what it
    does: workers and scheduler.
    """
    workers = [worker(device) for device in local_devices()]
    return [*workers, process("scheduler"), web(), process("beat"), process("quality"), process("flower")]


def process(name: str) -> Child:
    """One of the processes that need nothing but their name."""
    return Child(name, [*ARGUS, "run", name])


def web() -> Child:
    """Pages and REST; up when it answers."""
    return Child("web", [*ARGUS, "run", "web"], ready=lambda: answers(f"{web_url()}/healthz"))


def worker(device: str) -> Child:
    """The generation worker of a device."""
    return Child(f"worker-{device.replace(':', '')}", [*ARGUS, "run", "worker", "--device", checked(device)])


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
