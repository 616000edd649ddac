"""What processes of one host make of an image's steps in every mode of several devices: `argus profile --parallel`.

Each rank is a process with the model, on a device of its own, and meets the others as workers do (`workers.gangs`).
Steps are timed at the first rank, after the warm-up, and the bytes counted that come to it. On CPUs ranks share the
cores, so many to each, and serial steps are taken with as many threads as a rank has.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

import torch

from core import devices
from core.errors import EngineError, OutOfRange
from core.families import Family, Model
from core.parallel import MODES
from core.parallel_profiles import ModeProfile
from workers.engine.loading import configured_dtype
from workers.engine.request import GenerationRequest
from workers.gangs.company import company, make_mode
from workers.measure.hardware import hardware
from workers.measure.model_cost import PROMPT
from workers.parallel.lost import MemberLost
from workers.parallel.mode import Mode, Serial
from workers.parallel.processes import found, opened
from workers.parallel.ranks import Rank
from workers.pipelines import load_adapter
from workers.pipelines.rows import Batch, Start

VERSION = 1  # of the file's layout
RANKS = (2, 4)
STEPS = 12  # of the image that is timed
BEGIN_S = 300.0  # in which all processes are to have loaded the model
END_S = 10.0
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Share:
    """What a process is to do: its rank in a mode, and where all meet; no mode: serial steps."""

    mode: str | None
    rank: int
    world: int
    port: int
    device: str
    dtype: torch.dtype
    threads: int


@dataclass(frozen=True)
class Timed:
    """What the first rank saw: seconds of a step and of meeting, bytes that came in a step."""

    step_s: float
    meet_s: float = 0.0
    bytes: float = 0.0


def measure_modes(
    family: Family, device: str, ranks: Sequence[int] = RANKS, progress: Progress = lambda *_: None
) -> dict[str, Any]:
    """The reference level's model in every mode that runs it, as `profiles/<family>/parallel/<device>.json` has it.

    Raises:
        EngineError: a process has failed, or did not begin.
    """
    model = family.models[family.level(family.reference).model]
    able = [name for name, needs in MODES.items() if needs.gang and needs.runs(model.pipeline)]
    runs = [(name, world) for name in able for world in ranks if world <= _most(device)]
    if not device.startswith("cuda"):
        torch.set_num_threads(max(1, devices.threads(device) // max(ranks)))  # of each rank, and of serial steps
    progress(0, 1 + len(runs), "serial steps")
    serial_s, modes, refused = _timed(family, model, None, 1, device).step_s, [], []
    for number, (name, world) in enumerate(runs, 1):
        progress(number, 1 + len(runs), f"{name}, {world} ranks")
        about: dict[str, Any] = {"model": model.id, "mode": name, "ranks": world}
        try:
            timed = _timed(family, model, name, world, device)
        except OutOfRange as error:
            refused.append({**about, "why": error.message})
        else:
            modes.append(ModeProfile(serial_s=serial_s, **about, **asdict(timed)))
    on = devices.torch_device(device)
    return {
        "version": VERSION,
        "family": family.id,
        "family_version": family.version,
        "device": devices.device_type(device),
        "measured": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC by argus profile --parallel",
        "hardware": hardware(on, configured_dtype(on)),
        "modes": [mode.model_dump() for mode in modes],
        "refused": refused,
    }


def _most(device: str) -> int:
    """Ranks that have a device of their own; CPU slots share the cores."""
    return len(devices.visible_gpus()) if device.startswith("cuda") else max(RANKS)


def _timed(family: Family, model: Model, mode: str | None, world: int, device: str) -> Timed:
    """One image by so many processes; raises `OutOfRange` where the mode cannot be had with so many."""
    usual, what = family.defaults, f"{mode or 'serial steps'} with {world} ranks"
    asked = GenerationRequest(
        "timed", PROMPT, 1, family.level(family.reference), STEPS, usual.guidance, usual.width, usual.height
    )
    store, kind = opened(world, BEGIN_S), device.partition(":")[0]
    places = [devices.torch_device(f"{kind}:{rank}") for rank in range(world)]
    dtype, threads = configured_dtype(places[0]), torch.get_num_threads()
    shares = [Share(mode, rank, world, store.port, place, dtype, threads) for rank, place in enumerate(places)]
    with _processes(model, asked, shares) as answer:
        try:
            if not answer.poll(BEGIN_S):
                raise EngineError(f"{what}: no answer in {BEGIN_S:g} s.")
            told = answer.recv()
        except EOFError:
            raise EngineError(f"{what}: a process failed; what it says stands above.") from None
        if isinstance(told, str):
            raise OutOfRange(told, field="ranks")
        timed: Timed = told
        return timed


@contextmanager
def _processes(model: Model, asked: GenerationRequest, shares: Sequence[Share]) -> Iterator[Connection]:
    """One a share, forked from a server that has imported all, and what the first answers; ended afterwards."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    here, there = context.Pipe(duplex=False)
    ready = context.Barrier(len(shares), timeout=BEGIN_S)
    ranks = [
        context.Process(target=_be, args=(model, asked, share, ready, None if share.rank else there), daemon=True)
        for share in shares
    ]
    for rank in ranks:
        rank.start()
    there.close()
    try:
        yield here
    finally:
        for rank in ranks:
            rank.join(END_S)
            rank.kill()
            rank.join()
        here.close()


def _be(model: Model, asked: GenerationRequest, share: Share, ready: Barrier, answer: Connection | None) -> None:
    """One process."""
    torch.set_num_threads(share.threads)
    adapter = load_adapter(model, share.device, share.dtype)
    batch = Batch.of([adapter.prepare(asked, Start(asked.steps), asked.guidance)])
    adapter.denoise(batch)  # the first forward is slower
    ready.wait()
    told: Timed | str
    try:
        told = _serially(adapter, batch) if share.mode is None else _together(share, adapter, batch)
    except OutOfRange as error:
        told = error.message
    if answer is not None:
        answer.send(told)


def _serially(adapter: Any, batch: Batch) -> Timed:
    return Timed(statistics.median(seconds for seconds, _ in _turns(Serial(adapter), batch, ())))


def _together(share: Share, adapter: Any, batch: Batch) -> Timed:
    assert share.mode is not None
    began, on_cuda = time.perf_counter(), share.device.startswith("cuda")
    store = found(share.port, share.world, BEGIN_S)
    with company(store, share.rank, share.world, on_cuda, BEGIN_S) as member:
        meet_s, mode = time.perf_counter() - began, make_mode(share.mode, member, adapter, batch)
        steady = _turns(mode, batch, {member, getattr(mode, "company", member)})[MODES[share.mode].warm_up + 1 : -1]
        with suppress(MemberLost):  # who leaves before the others are here takes along what they have not read
            member.gather(torch.zeros(1, device=share.device)).wait()
    seconds, came = zip(*steady, strict=True)
    return Timed(statistics.median(seconds), meet_s, statistics.mean(came))


def _turns(mode: Mode, batch: Batch, ranks: Collection[Rank]) -> list[tuple[float, int]]:
    """Seconds of each turn, and the bytes that came meanwhile."""
    turns: list[tuple[float, int]] = []
    while not batch.rows[0].sampler.done:
        began, came = time.perf_counter(), sum(rank.received for rank in ranks)
        mode.turn(batch)
        if batch.latents.is_cuda:
            torch.cuda.synchronize(batch.latents.device)
        turns.append((time.perf_counter() - began, sum(rank.received for rank in ranks) - came))
    return turns
