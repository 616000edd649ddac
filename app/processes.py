"""The processes Argus is made of, one function each: what runs, and how to tell that it answers.

========= ============================== ===========================================
process   what                           started as
========= ============================== ===========================================
web       pages and REST                 gunicorn `app.wsgi:app`
beat      ticks the scheduler            `python -m app.processes beat`
scheduler routes, plans, sweeps          `python -m scheduler.boot`
worker    one a device, generates        `python -m workers.boot --device …`
quality   scores images                  `python -m workers.quality_worker`
flower    Celery's monitor               `python -m app.processes flower`
========= ============================== ===========================================

`argus up` runs them all under one supervisor; `argus run NAME` is one of them, for containers and systemd.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable

import click

from core.errors import ArgusError, BadSettings
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
    """Celery's clock: publishes Tick and Sweep."""
    return Child("beat", [*PYTHON, "app.processes", "beat"])


def scheduler() -> Child:
    """Router, planner, sweep."""
    return Child("scheduler", [*PYTHON, "scheduler.boot"], env=ONE_THREAD)


def quality() -> Child:
    """Scores images, on one thread: it must not slow generation down."""
    return Child("quality", [*PYTHON, "workers.quality_worker"], env={**ONE_THREAD, "CUDA_VISIBLE_DEVICES": ""})


def flower() -> Child:
    """Celery's monitor. A password is set with FLOWER_BASIC_AUTH=user:password."""
    return Child("flower", [*PYTHON, "app.processes", "flower"], env=ONE_THREAD)


def worker(device: str) -> Child:
    """The generation worker of a device. A GPU's sees no other GPU, so inside it is always `cuda:0`."""
    checked(device)
    kind, _, index = device.partition(":")
    seen, inside = (visible_gpus()[int(index)], "cuda:0") if kind == "cuda" else ("", device)
    argv = [*PYTHON, "workers.boot", "--device", inside, "--name", worker_name(device)]
    return Child(f"worker-{device.replace(':', '')}", argv, env={"CUDA_VISIBLE_DEVICES": seen})


def worker_name(device: str) -> str:
    """Celery node name of a device's worker on this host."""
    return f"{device.replace(':', '')}@{socket.gethostname()}"


def local_devices() -> list[str]:
    """Devices to run a worker on, as set or as found, without importing torch: every GPU, else one CPU slot.

    Raises:
        BadSettings: an entry of ARGUS_DEVICES is neither `cpu:N` nor a `cuda:N` that exists, or stands twice.
    """
    if settings().devices == "auto":
        return [f"cuda:{i}" for i in range(len(visible_gpus()))] or ["cpu:0"]
    asked = [checked(entry.strip()) for entry in settings().devices.split(",") if entry.strip()]
    if not asked or len(set(asked)) < len(asked):
        raise BadSettings("ARGUS_DEVICES names no device, or one twice.", field="ARGUS_DEVICES")
    return asked


def checked(device: str) -> str:
    """The device as written, when this host has it; raises `BadSettings`."""
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda") or not index.isdecimal():
        raise BadSettings(f"{device!r} is no device: write cpu:0, cuda:0, … (ARGUS_DEVICES).", field="ARGUS_DEVICES")
    if kind == "cuda" and int(index) >= len(visible_gpus()):
        raise BadSettings(f"There is no {device}: this host has {len(visible_gpus())} GPUs.", field="ARGUS_DEVICES")
    return device


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES is set to for each GPU in turn: its index, or what the variable already names."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [entry.strip() for entry in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if entry.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return []
    return [str(i) for i, _ in enumerate(line for line in listed.splitlines() if line.startswith("GPU "))]


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


@click.command()
@click.argument("name", type=click.Choice([*PROCESSES, "worker", "migrate"]))
@click.option("--device", help="Device of a worker, cpu:N or cuda:N; default: the first of ARGUS_DEVICES.")
def run(name: str, device: str | None) -> None:
    """Run one process of Argus in the foreground (containers, systemd).

    Database and broker are those of ARGUS_DATABASE_URL and ARGUS_BROKER_URL, else those of the `argus up` that runs
    here. `migrate` brings the database to the newest schema and ends.
    """
    if name == "migrate":
        from core.database import migrate

        migrate()
        return
    child = worker(device or local_devices()[0]) if name == "worker" else PROCESSES[name]()
    os.execvpe(child.argv[0], list(child.argv), {**os.environ, **child.env})


@click.command()
@click.argument("name", type=click.Choice(["worker", "scheduler", "quality"]))
@click.option("--device", help="Device of a worker; default: the first of ARGUS_DEVICES.")
def ping(name: str, device: str | None) -> None:
    """Ask a Celery process of this host whether it answers (health checks).

    Exit status 1 when it does not within five seconds.
    """
    from core.celery import celery_app

    node = worker_name(device or local_devices()[0]) if name == "worker" else f"{name}@{socket.gethostname()}"
    pongs = celery_app().control.ping([node], timeout=5)
    click.echo(f"{node} {'answers' if pongs else 'does not answer'}")
    raise SystemExit(0 if pongs else 1)


if __name__ == "__main__":
    try:
        {"beat": _run_beat, "flower": _run_flower}[sys.argv[1]]()
    except ArgusError as error:
        sys.exit(f"error [{error.code}] {error.message}")
