"""Start a generation worker: one process, one device, one engine, a Celery worker of threads around it.

::

    python -m workers.boot --device cpu:0 [--name cpu0@host]

Every start is a new *boot*. What an earlier boot of the same name left running is queued again at once. SIGTERM: take
nothing new, give what runs a few seconds, return the rest to its queue.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import structlog

from core import devices, requests
from core.celery import celery_app
from core.celery_worker import serve
from core.errors import ArgusError
from core.families import Family, load_family
from core.images import ImageStore
from core.log import set_up_logging
from core.settings import settings
from core.workers import WorkerIdentity, open_attempts, register
from workers.admission import PolicyAdmission
from workers.assignment import AssignmentFollower, register_command
from workers.gangs.joining import Joining, register_join
from workers.generation import Generation
from workers.heartbeat import Heartbeat
from workers.housekeeping import Housekeeping
from workers.tasks import register_task

if TYPE_CHECKING:
    from core.profiles import Profile
    from core.step_curve import StepCurve
    from workers.engine.engine import Engine
    from workers.measure.calibrate import Calibration

log = structlog.get_logger(__name__)
DRAIN_S = 8.0  # the supervisor waits 15 s before it kills


def main(argv: list[str] | None = None) -> int:
    """Run a worker until it is told to stop; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m workers.boot", description="A generation worker.")
    parser.add_argument("--device", default="cpu:0", help="cpu:N or cuda:N (default cpu:0)")
    parser.add_argument("--name", help="Celery node name (default <device>@<host>)")
    asked = parser.parse_args(argv)
    set_up_logging()
    try:
        device = devices.checked(asked.device)
        return run(device, asked.name or devices.worker_name(device))
    except ArgusError as error:
        log.error(error.message, code=error.code)
        return 1


def run(device: str, name: str) -> int:
    """The worker's life, from its row to its row."""
    os.environ["OMP_NUM_THREADS"] = str(devices.threads(device))  # before torch is imported
    family, identity = load_family(settings().family), WorkerIdentity(name, uuid.uuid4())
    device_type = devices.device_type(device)
    for level, why in family.withheld.items():
        log.warning("level not offered", level=level, why=why)
    if device.startswith("cuda"):
        check_memory(family, device)
    nothing_yet = {"state": "starting", "models": [], "queues": [], "stats": {}}
    register(identity, device=device, device_type=device_type, family=family.id, **nothing_yet)
    measured = profile(family, device)
    known = curves(measured)
    most = settings().max_batch
    rows_of = {model: min(known[model].worthwhile, most) if model in known else most for model in family.offered}
    engine = make_engine(family, device, known, max(rows_of.values()))
    follower = AssignmentFollower(identity, family, engine)
    admission = PolicyAdmission(family, identity.name, device_type, rows_of)
    means = {level.id: level.quality for level in measured.levels} if measured else {}
    generation = Generation(identity, family, engine, follower, ImageStore(), admission, means)
    housekeeping = Housekeeping(generation, Heartbeat(generation, {"memory_mb": devices.memory_mb(device)}))
    follower.on_change = housekeeping.assignment_changed
    housekeeping.start()
    follower.restore()
    warm_up(engine, family)
    generation.execution.calibration = calibration_of(engine, family, device_type, device)
    release_earlier(identity)
    return consume(name, generation, housekeeping)


def consume(name: str, generation: Generation, housekeeping: Housekeeping) -> int:
    """Serve this worker's queues until told to stop; returns the exit status."""
    app = celery_app()
    register_task(app, generation)
    register_command(generation.follower)
    register_join(Joining(generation))

    def ready(consumer: Any) -> None:
        generation.follower.follow(consumer)
        housekeeping.ready()

    leaving = ThreadPoolExecutor(1, thread_name_prefix="leaving")
    status = serve(
        app,
        name,
        generation.follower.current.queues,
        generation.engine.max_batch,
        ready,
        lambda: leaving.submit(generation.stop, DRAIN_S),
    )
    leaving.shutdown(wait=True)
    housekeeping.stop()
    return status


def check_memory(family: Family, device: str) -> None:
    """Raises `NoModelFits`, naming what would fit, before the device is offered any work."""
    from workers.engine.fitting import check_fits
    from workers.engine.loading import configured_dtype

    check_fits(family, configured_dtype(device), devices.memory_mb(device))


def make_engine(family: Family, device: str, known: dict[str, StepCurve], max_batch: int) -> Engine:
    """The engine of this process, running."""
    import torch

    from workers.engine.engine import Engine
    from workers.engine.loading import configured_dtype, configured_ways
    from workers.engine.lora_store import LoraStore
    from workers.latent_cache.cache import shared_cache

    torch.set_num_threads(devices.threads(device))
    engine = Engine(
        family,
        devices.torch_device(device),
        configured_dtype(device),
        max_batch,
        devices.memory_mb(device),
        shared_cache(),
        curves=known,
        ways=configured_ways(),
        loras=LoraStore(family, settings().lora_mb),
        on_device_failure=leave,
    )
    engine.start()
    return engine


def leave(error: Exception) -> None:
    """End this process in order, as on SIGTERM: a CUDA context that has failed is usable again in a new one only."""
    log.error("the device failed; this worker ends to be started again", error=str(error))
    os.kill(os.getpid(), signal.SIGTERM)


def warm_up(engine: Engine, family: Family) -> None:
    """Two steps of one request, so that the first of a user meets a loaded encoder and warm kernels."""
    from workers.engine.request import GenerationRequest

    size, level = family.defaults, family.level(family.reference)
    if level.model in engine.loaded():
        request = GenerationRequest("warm-up", "warm-up", 0, level, 2, size.guidance, size.width, size.height)
        engine.submit(request).result()


def calibration_of(engine: Engine, family: Family, device_type: str, device: str) -> Calibration | None:
    """What the reference level takes here; a calibration that fails is no reason not to serve."""
    from workers.measure.calibrate import calibrate

    try:
        return calibrate(engine, family, device_type, devices.torch_device(device))
    except ArgusError as error:
        log.warning("not calibrated", code=error.code, error=error.message)
        return None


def profile(family: Family, device: str) -> Profile | None:
    """The profile of this device's type; None when it was never measured."""
    from core.profiles import read_profile

    path = devices.profile_path(family, devices.device_type(device))
    return read_profile(path) if path.is_file() else None


def curves(measured: Profile | None) -> dict[str, StepCurve]:
    """Step curves by model (or by `fc` level, whose rows take forwards of their own), as a profile has them.

    Steps of `cq` and `sub` levels are of two kinds: those that are whole are its model's.
    """
    levels = [level for level in (measured.levels if measured else ()) if level.batch and not level.varies]
    return {level.id if "fc" in level.strategies else level.holds: level.curve for level in levels}


def release_earlier(identity: WorkerIdentity) -> None:
    """Queue again what an earlier boot of this name had when it ended."""
    left = [attempt.id for attempt in open_attempts(identity, earlier=True)]
    if left:
        log.info("released from an earlier boot", worker=identity.name, requests=len(left))
        requests.release(left, "lost", "The worker ended while it had this request.", "worker_lost")


if __name__ == "__main__":
    sys.exit(main())
