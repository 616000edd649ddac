"""`argus doctor`: what is wrong with this machine or configuration, and what to do. Each check is one function."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import click

from core.errors import ArgusError, BadSettings
from core.settings import CHECKOUT, PREFIX, ROOT, load_settings, settings

DISK_GB = 5.0
MEMORY_GB = 2.0
LATE_S = 600.0  # a worker that left so long ago is history, not trouble


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: what was looked at, whether it is well, and what was seen or is to be done."""

    subject: str
    well: bool
    text: str


Check = Callable[[], Iterator[Finding]]


def python() -> Iterator[Finding]:
    """Version of Python and of the packages that are pinned."""
    found = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("python", sys.version_info >= (3, 11), f"{found} (3.11 or newer is needed)")
    wrong = list(_differing_packages() if CHECKOUT else _unmet_requirements())
    wanted, mend = ("constraints.txt pins them", "make install") if CHECKOUT else ("Argus needs them", "pip check")
    yield Finding("packages", not wrong, f"{'; '.join(wrong[:5])}: run `{mend}`" if wrong else f"as {wanted}")


def _unmet_requirements() -> Iterator[str]:
    """What an installed Argus asks for and does not find."""
    from packaging.requirements import Requirement

    for wanted in map(Requirement, requires("argus") or []):
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            yield f"{wanted.name} is missing"
            continue
        if not wanted.specifier.contains(found.partition("+")[0], prereleases=True):
            yield f"{wanted.name} is {found}, not {wanted.specifier}"


def _differing_packages() -> Iterator[str]:
    """Packages that differ from what constraints.txt pins; one that is not installed is somebody's choice."""
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, pinned = line.partition("==")
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        if found.partition("+")[0] != pinned:
            yield f"{name} is {found}, not {pinned}"


def configuration() -> Iterator[Finding]:
    """Settings parse; the family's file reads; devices exist."""
    load_settings()
    yield Finding("settings", True, "every ARGUS_… variable is known and in range")
    from core.devices import local_devices
    from core.families import load_family

    family = load_family(settings().family)
    yield Finding(
        "family", True, f"{family.id} {family.version}: {len(family.models)} models, {len(family.levels)} levels"
    )
    yield Finding("devices", True, ", ".join(local_devices()))


def disk() -> Iterator[Finding]:
    """Room where Argus keeps its data."""
    home = settings().home.absolute()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free / 1e9
    yield Finding("disk", free >= DISK_GB, f"{free:.0f} GB free in {place} ({DISK_GB:.0f} are wanted)")


def memory() -> Iterator[Finding]:
    import psutil

    free = psutil.virtual_memory().available / 1e9
    yield Finding("memory", free >= MEMORY_GB, f"{free:.1f} GB available ({MEMORY_GB:.0f} are wanted)")


def weights() -> Iterator[Finding]:
    """Weights that lie in the repository are there and are those that were recorded; others come from the hub."""
    from core.families import load_family

    family = load_family(settings().family)
    for name, place in {**{m.id: m.location for m in family.models.values()}, "scorer": family.scorer.location}.items():
        folder = Path(place)
        if not folder.is_dir():
            yield Finding(f"weights of {name}", True, f"{place}: taken from the Hugging Face hub when first used")
        else:
            yield _weights_in(name, folder)


def _weights_in(name: str, folder: Path) -> Finding:
    if not (folder.parent / "checksums.json").exists():
        return Finding(f"weights of {name}", True, f"{folder} (no checksums recorded)")
    from families.embedded.checksums import verify

    verify(folder)
    return Finding(f"weights of {name}", True, "present, checksums as recorded")


def profile() -> Iterator[Finding]:
    """There is a measured profile; the scheduler plans by it."""
    from core.families import load_family
    from core.measured import measured_files
    from core.profiles import read_profile

    family = load_family(settings().family)
    files = measured_files(family.id, "*.json")
    for file in files:
        found = read_profile(file)
        yield Finding("profile", True, f"{file.name}: {len(found.levels)} levels on {found.device}, {found.measured}")
    if not files:
        yield Finding("profile", False, f"none in profiles/{family.id}: measure with `argus profile`")


def gpu() -> Iterator[Finding]:
    """Driver and devices, where there is NVIDIA hardware."""
    if not Path("/proc/driver/nvidia/version").exists() and shutil.which("nvidia-smi") is None:
        yield Finding("GPU", True, "none: workers use the CPU")
        return
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("GPU", False, f"the driver does not answer ({error}): install it or reboot after an update")
        return
    for index, line in enumerate(listed.splitlines()):
        yield Finding(f"GPU {index}", True, line)


def ports() -> Iterator[Finding]:
    """Ports are free, or ours."""
    from cli.stack import port_is_free, running

    if running() is not None:
        return
    for name in ("port", "flower_port"):
        port = getattr(settings(), name)
        free = port_is_free(settings().host, port)
        text = "free" if free else f"taken by another program: set {PREFIX}{name.upper()} to a free one"
        yield Finding(f"port {port}", free, text)


def services() -> Iterator[Finding]:
    """Database and broker answer; the schema is the newest; workers and queues are attended."""
    from cli.stack import running
    from core.services import broker_answers, broker_url

    ours = running() is not None
    if not ours and not (settings().database_url and settings().broker_url):
        yield Finding("services", True, "Argus does not run here; it starts its own with `make up`")
        return
    answers = broker_answers(broker_url())
    yield Finding("broker", answers, "answers" if answers else "does not answer: start it, or see logs/valkey.log")
    yield from database()
    if answers:
        yield from attendance()


def database() -> Iterator[Finding]:
    from sqlalchemy import text
    from sqlalchemy.exc import SQLAlchemyError

    from core.database import newest_schema, transaction

    newest = newest_schema()
    try:
        with transaction() as session:
            found = session.scalar(text("SELECT version_num FROM alembic_version"))
    except SQLAlchemyError as error:
        cause = str(error).splitlines()[0]
        yield Finding(
            "database", False, f"{cause}: start it, or see logs/postgres.log; `argus run migrate` makes tables"
        )
        return
    well = found == newest
    yield Finding("database", well, f"schema {found}" + ("" if well else f", newest is {newest}: `argus run migrate`"))


def attendance() -> Iterator[Finding]:
    """Workers that went silent, and queues with messages that nobody consumes."""
    from sqlalchemy import func, select

    from cli.status import waiting
    from core.celery import celery_app
    from core.database import transaction
    from core.tables import Worker

    age = func.extract("epoch", func.now() - Worker.seen_at)
    with transaction() as session:
        workers = [(w.name, w.state, float(s)) for w, s in session.execute(select(Worker, age)) if s < LATE_S]
    for name, state, seconds in workers:
        stale = state != "stopped" and seconds > settings().stale_s
        yield Finding(
            f"worker {name}", not stale, f"{state}, seen {seconds:.0f} s ago" + ("; see its log" if stale else "")
        )
    active = celery_app().control.inspect(timeout=2).active_queues() or {}
    consumed = {queue["name"] for queues in active.values() for queue in queues}
    for queue, length in waiting().items():
        if length and queue not in consumed:
            yield Finding(f"queue {queue}", False, f"{length} messages and no consumer: is its worker up?")
    yield Finding(
        "celery", bool(active), f"{len(active)} nodes answer" if active else "no node answers: `argus status`"
    )


CHECKS: dict[str, Check] = {
    "python": python,
    "settings": configuration,
    "disk": disk,
    "memory": memory,
    "weights": weights,
    "profile": profile,
    "GPU": gpu,
    "ports": ports,
    "services": services,
}


def examine() -> Iterator[Finding]:
    """Run every check; one that raises is a finding itself. Without settings there is nothing more to look at."""
    for subject, check in CHECKS.items():
        try:
            yield from check()
        except ArgusError as error:
            yield Finding(subject, False, f"[{error.code}] {error.message} {error.help}")
            if isinstance(error, BadSettings):
                return


@click.command()
def doctor() -> None:
    """Say what is wrong with this machine or configuration, and what to do.

    Looks at Python and packages, settings, disk, memory, weights, profiles, GPU, ports, and, when Argus runs, at
    database, broker, workers and queues. Exit status 1 when something is wrong.
    """
    from rich.text import Text

    from cli.terminal import make_console

    console, sick = make_console(), 0
    for finding in examine():
        mark = ("ok   ", "green") if finding.well else ("WRONG", "bold red")
        console.print(Text.assemble(mark, f"  {finding.subject}: {finding.text}"), soft_wrap=True)
        sick += not finding.well
    console.print(f"{sick} to mend." if sick else "All well.")
    raise SystemExit(1 if sick else 0)
