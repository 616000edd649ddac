"""`argus run`: one process of Argus in the foreground. Each is a function here; heavy imports come inside it."""

from __future__ import annotations

import os
from collections.abc import Callable

import click

from cli.processes import FLOWER_OFF, flower_lacks_password
from core.devices import checked, local_devices, visible_gpus, worker_name
from core.errors import BadSettings
from core.memory import give_memory_back
from core.niceness import give_way
from core.settings import settings

FLOWER_KEEPS = {"FLOWER_MAX_TASKS": "1000", "FLOWER_MAX_WORKERS": "500", "FLOWER_PURGE_OFFLINE_WORKERS": "3600"}
FLOWER_LOOKS = {"FLOWER_READ_ONLY": "true"}  # as --read_only: what it would steer follows the plan
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def web() -> int:
    """Pages and REST."""
    os.environ.update(ONE_THREAD)
    from app.server import serve

    return serve()


def scheduler() -> int:
    """Router, planner, reconciliation."""
    os.environ.update(ONE_THREAD)
    give_memory_back()
    from scheduler.boot import main

    return main([])


def worker(device: str | None) -> int:
    """The generation worker of a device. A GPU's sees no other GPU, so it calls its own `cuda:0`."""
    device = checked(device or local_devices()[0])
    name, (kind, _, index) = worker_name(device), device.partition(":")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible_gpus()[int(index)] if kind == "cuda" else ""
    from core.workers import end_earlier

    end_earlier(name)  # before torch is imported: what it had need not wait for that
    from workers.boot import main

    return main(["--device", "cuda:0" if kind == "cuda" else device, "--name", name])


def quality() -> int:
    """Scores images, on the CPU and one thread: it must not slow generation down."""
    os.environ.update({**ONE_THREAD, "CUDA_VISIBLE_DEVICES": ""})
    give_memory_back(large=False)
    from workers.scoring.worker import main

    return main([])


def beat() -> int:
    """Celery's clock. Its schedule is kept in memory: intervals of seconds need no memory of the last run."""
    from core.celery import celery_app

    celery_app().Beat(scheduler="core.beat:Beat", loglevel=settings().log_level, quiet=True).run()
    return 0


def flower() -> int:
    """Celery's monitor. A password is set with FLOWER_BASIC_AUTH=user:password; any other option of it likewise.

    It keeps every task it hears of, 6 kB each, up to a limit: its own is 100,000. It looks and does not steer.
    """
    if flower_lacks_password():
        raise BadSettings(f"Flower is {FLOWER_OFF}", field="FLOWER_BASIC_AUTH")
    os.environ.update(ONE_THREAD)
    for name, value in {**FLOWER_KEEPS, **FLOWER_LOOKS}.items():
        os.environ.setdefault(name, value)
    give_memory_back()
    give_way()
    from core.celery import celery_app

    where = [f"--address={settings().host}", f"--port={settings().flower_port}"]
    celery_app().start(argv=["flower", *where, "--logging=warning"])
    return 0


def migrate() -> int:
    """Bring the database to the newest schema, and end."""
    from core.database import migrate as to_newest

    to_newest()
    return 0


PROCESSES: dict[str, Callable[[], int]] = {
    "web": web,
    "beat": beat,
    "scheduler": scheduler,
    "quality": quality,
    "flower": flower,
    "migrate": migrate,
}


@click.command()
@click.argument("name", type=click.Choice([*PROCESSES, "worker"]))
@click.option("--device", help="Device of a worker, cpu:N or cuda:N; default: the first of ARGUS_DEVICES.")
def run(name: str, device: str | None) -> None:
    """Run one process of Argus in the foreground (containers, systemd).

    Database and broker are those of ARGUS_DATABASE_URL and ARGUS_BROKER_URL, else those of the `argus up` that runs
    here. `migrate` brings the database to the newest schema and ends.
    """
    raise SystemExit(worker(device) if name == "worker" else PROCESSES[name]())
