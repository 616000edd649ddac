"""The processes Argus is made of, one function each: what runs, and how to tell that it answers.

========= ============================== ===========================================
process   what                           started as
========= ============================== ===========================================
web       pages and REST                 gunicorn `app.wsgi:app`
beat      ticks the scheduler            `python -m cli.processes beat`
scheduler routes, plans, sweeps          `python -m scheduler.boot`
worker    one a device, generates        `python -m workers.boot --device …`
quality   scores images                  `python -m workers.scoring.worker`
flower    Celery's monitor               `python -m cli.processes flower`
========= ============================== ===========================================

`argus up` runs them all under one supervisor; `argus run NAME` is one of them, for containers and systemd.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable

from core.devices import checked, local_devices, visible_gpus, worker_name
from core.errors import ArgusError
from core.settings import ROOT, settings
from core.supervisor import Child

PYTHON = (sys.executable, "-P", "-m")  # -P: a folder `app` where the user stands must not be taken for ours
NICE = 10  # of what may lag in a burst
KEEP_ALIVE_S = 75  # longer than clients and proxies keep an idle connection, so that none is ended under a request
WEB_THREADS = 16  # a page that follows a job holds one
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def everything() -> list[Child]:
    """All processes of this host, in the order they are started.

    Only web is waited for. What the first image does not need comes after it, so as not to take the cores from what it
    does: workers and scheduler.
    """
    workers = [worker(device) for device in local_devices()]
    return [*workers, scheduler(), web(), beat(), quality(), flower()]


def web() -> Child:
    """Pages and REST."""
    argv = [*PYTHON, "gunicorn", "app.wsgi:app", "--chdir", str(ROOT), "--bind", f"{settings().host}:{settings().port}"]
    argv += ["--workers", str(settings().web_workers), "--worker-class", "gthread", "--threads", str(WEB_THREADS)]
    argv += ["--graceful-timeout", "3", "--timeout", "120", "--keep-alive", str(KEEP_ALIVE_S), "--no-control-socket"]
    return Child("web", argv, env=ONE_THREAD, ready=lambda: answers(f"{web_url()}/healthz"))


def beat() -> Child:
    """Celery's clock: publishes Tick and Reconcile."""
    return Child("beat", [*PYTHON, "cli.processes", "beat"])


def scheduler() -> Child:
    """Router, planner, reconciliation."""
    return Child("scheduler", [*PYTHON, "scheduler.boot"], env=ONE_THREAD)


def quality() -> Child:
    """Scores images, on one thread: it must not slow generation down."""
    return Child("quality", [*PYTHON, "workers.scoring.worker"], env={**ONE_THREAD, "CUDA_VISIBLE_DEVICES": ""})


def flower() -> Child:
    """Celery's monitor. A password is set with FLOWER_BASIC_AUTH=user:password."""
    return Child("flower", [*PYTHON, "cli.processes", "flower"], env=ONE_THREAD)


def worker(device: str) -> Child:
    """The generation worker of a device. A GPU's sees no other GPU, so inside it is always `cuda:0`."""
    checked(device)
    kind, _, index = device.partition(":")
    seen, inside = (visible_gpus()[int(index)], "cuda:0") if kind == "cuda" else ("", device)
    argv = [*PYTHON, "workers.boot", "--device", inside, "--name", worker_name(device)]
    return Child(f"worker-{device.replace(':', '')}", argv, env={"CUDA_VISIBLE_DEVICES": seen})


def web_url() -> str:
    """Address of the web app, for one who is on this machine."""
    return f"http://{reachable(settings().host)}:{settings().port}"


def flower_url() -> str:
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


def _run_beat() -> None:
    """In memory: two intervals of seconds need no memory of the last run."""
    from core.celery import celery_app

    celery_app().Beat(scheduler="celery.beat:Scheduler", loglevel=settings().log_level, quiet=True).run()


def _run_flower() -> None:
    from core.celery import celery_app

    os.nice(NICE)
    where = [f"--address={settings().host}", f"--port={settings().flower_port}"]
    celery_app().start(argv=["flower", *where, "--logging=warning"])


PROCESSES: dict[str, Callable[[], Child]] = {
    "web": web,
    "beat": beat,
    "scheduler": scheduler,
    "quality": quality,
    "flower": flower,
}


if __name__ == "__main__":
    try:
        {"beat": _run_beat, "flower": _run_flower}[sys.argv[1]]()
    except ArgusError as error:
        sys.exit(f"error [{error.code}] {error.message}")
