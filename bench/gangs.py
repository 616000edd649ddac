"""Members of gangs that die or freeze: what becomes of the image, and how soon the leader goes on alone.

    python -m bench.gangs [--seeds 100] [--write]

For every seed a model of toy width with random weights is drawn in one of the modes by two processes that meet as
workers do. The second stops at a message of its seed's choice: it dies (`os._exit`), freezes (SIGSTOP), leaves in
order, or does not come at all; every fifth stays. The leader is this process with its real engine. The time to fall
back is that from the last whole turn to the end of the first serial step.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import click
import diffusers
import torch

from bench.own import keep, run_of
from core.families import Family, Model
from core.settings import ROOT
from workers.engine.engine import Engine
from workers.engine.request import GenerationRequest
from workers.engine.running_request import RunningRequest
from workers.gangs.company import SILENT_S, Led, company, make_mode, wait_for_good_bye
from workers.measure.hardware import hardware
from workers.parallel.mode import draw
from workers.parallel.processes import ProcessRank, found, opened
from workers.parallel.ranks import MemberLost
from workers.parallel.way import Way
from workers.pipelines import load_adapter
from workers.pipelines.random_weights import BETAS, random_family
from workers.pipelines.rows import Batch, Start

KEPT, PAGE = ROOT / "docs/results/gangs.json", ROOT / "docs/results/gangs.md"
STEPS, RANKS, MODEL = 8, 2, "random"
MESSAGES = {"distrifusion": 300, "asyncdiff": 28, "pipefusion": 28}  # of a member in an image, about
FAULTS = ("dies", "freezes", "leaves", "does not come", "stays")
LIMIT_S = 10.0  # in which the leader is to go on alone
PROCESS_S = 60.0  # that a process may take to begin, or to end, on a busy machine


@dataclass(frozen=True)
class Case:
    """What happens to one image."""

    seed: int
    mode: str
    fault: str
    message: int  # at which the member stops

    @classmethod
    def of(cls, seed: int) -> Case:
        """Modes and faults go round; the message is drawn."""
        fault, mode = FAULTS[seed % len(FAULTS)], list(MESSAGES)[seed // len(FAULTS) % len(MESSAGES)]
        return cls(seed, mode, fault, random.Random(seed).randrange(MESSAGES[mode]))


@dataclass(frozen=True)
class Outcome:
    """What became of it: turns in the mode, why it fell back and how long that took, how far it is from serial."""

    case: Case
    turns: int
    why: str | None
    fall_back_s: float | None
    off: float  # root mean square of the latent's distance from the serial one, against its size

    @property
    def is_good(self) -> bool:
        """Whether it was drawn to its end: by both, or by the leader alone, and that soon."""
        in_time = self.fall_back_s is None or self.fall_back_s <= LIMIT_S
        whole = self.why is None and self.turns == STEPS
        return in_time and self.off < 1.0 and whole == (self.case.fault == "stays")


class Studio:
    """The leader: an engine for each architecture, which takes its steps when told to."""

    def __init__(self, folder: Path, silent_s: float = SILENT_S) -> None:
        self.folder, self.silent_s = folder, silent_s
        self._engines: dict[str, Engine] = {}

    def engine(self, mode: str) -> Engine:
        """The one whose model the mode runs."""
        kind = "pixart-alpha" if mode == "pipefusion" else "sd15"
        if kind not in self._engines:
            self._engines[kind] = Engine(_family(kind, self.folder / kind), dtype=torch.float64, threaded=False)
            self._engines[kind].load(MODEL)
        return self._engines[kind]

    def outcome(self, case: Case) -> Outcome:
        """One image, with a member that may stop on the way, and the same in serial steps."""
        engine = self.engine(case.mode)
        asked = _asked(engine.family, case)
        with ExitStack() as leaving:
            way = self._way(case, asked, engine.family.models[MODEL], leaving)
            running, latent, seconds = _drawn(engine, replace(asked, way=way))
        serial = _drawn(engine, asked)[1]
        off = float((latent - serial).pow(2).mean().sqrt() / serial.pow(2).mean().sqrt())
        assert running.parallel is not None
        return Outcome(case, running.parallel.turns, running.parallel.fall_back, seconds, off)

    def _way(self, case: Case, asked: GenerationRequest, model: Model, leaving: ExitStack) -> Way:
        """The company, as far as it meets."""
        store = opened(RANKS, self.silent_s)
        leaving.enter_context(_process(case, asked, model, store.port, self.silent_s))
        try:
            rank = leaving.enter_context(company(store, 0, RANKS, cuda=False, silent_s=self.silent_s))
        except MemberLost:
            return Way(case.mode, why_not="it did not come", ranks=RANKS)
        return Way(case.mode, lambda adapter, batch: Led(make_mode(case.mode, rank, adapter, batch), rank), ranks=RANKS)


def _drawn(engine: Engine, asked: GenerationRequest) -> tuple[RunningRequest, torch.Tensor, float | None]:
    """The request, its final latent, and seconds from its last whole turn in a mode to the end of the step after."""
    future, seconds = engine.submit(asked), None
    running = engine.find(asked.request_id)
    assert running is not None
    began, in_mode = time.monotonic(), running.in_mode
    while engine.step():
        ended = time.monotonic()
        seconds = ended - began if in_mode and not running.in_mode else seconds
        began, in_mode = ended, running.in_mode
    future.result(0)
    return running, running.row.latent, seconds


def _family(kind: str, folder: Path) -> Family:
    scheduler = diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1, **BETAS)
    deep: dict[str, Any] = {} if kind == "sd15" else {"num_layers": 4}
    return random_family(kind, folder, toy=True, scheduler=scheduler, **deep)


def _asked(family: Family, case: Case) -> GenerationRequest:
    """Two ranks of DistriFusion divide guidance where there is some, and patches where there is none."""
    level, usual = family.level("exact"), family.defaults
    guidance = 1.0 if case.mode == "distrifusion" else usual.guidance
    return GenerationRequest(str(case), "a red fox", case.seed, level, STEPS, guidance, usual.width, usual.height)


@contextmanager
def _process(case: Case, asked: GenerationRequest, model: Model, port: int, silent_s: float) -> Iterator[None]:
    """The member, about to meet; forked from a server that has imported all, killed at the end where it still is."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.gangs"])  # by its name, which is another where it is the command
    ready = context.Event()
    member = context.Process(target=_be_member, args=(case, asked, model, port, silent_s, ready), daemon=True)
    member.start()
    try:
        assert ready.wait(PROCESS_S), "the member's process did not begin"
        yield
    finally:
        member.join(0 if case.fault == "freezes" else PROCESS_S)
        member.kill()
        member.join()


def _be_member(case: Case, asked: GenerationRequest, model: Model, port: int, silent_s: float, ready: Event) -> None:
    """The member's program, as `workers.gangs.joining` has it, until its fault."""
    torch.set_num_threads(1)
    adapter = load_adapter(model, "cpu", torch.float64)
    batch = Batch.of([adapter.prepare(asked, Start(asked.steps), asked.guidance)])
    if case.fault in ("dies", "freezes", "leaves"):
        _stop_at(case.message, case.fault)
    ready.set()
    if case.fault == "does not come":
        return
    store = found(port, RANKS, silent_s)
    with suppress(MemberLost, SystemExit), company(store, 1, RANKS, cuda=False, silent_s=silent_s) as rank:
        draw(make_mode(case.mode, rank, adapter, batch), batch)
        wait_for_good_bye(rank, batch)


def _stop_at(message: int, fault: str) -> None:
    """This process stops at the message of this number that it sends or asks for."""
    numbers = itertools.count()
    for name in ("_gather", "_send", "_receive"):

        def counted(self: ProcessRank, *given: Any, go_on: Any = getattr(ProcessRank, name)) -> Any:
            if next(numbers) == message:
                _stop(fault)
            return go_on(self, *given)

        setattr(ProcessRank, name, counted)


def _stop(fault: str) -> None:
    if fault == "dies":
        os._exit(1)
    if fault == "leaves":
        raise SystemExit
    os.kill(os.getpid(), signal.SIGSTOP)


def table(outcomes: Sequence[Outcome]) -> str:
    """A line for each fault."""
    lines = [
        "| the member | images | drawn | fell back | to fall back, s, median (most) | off serial, most |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for fault in FAULTS:
        some = [one for one in outcomes if one.case.fault == fault]
        seconds = sorted(one.fall_back_s for one in some if one.fall_back_s is not None)
        took = f"{seconds[len(seconds) // 2]:.2f} ({seconds[-1]:.2f})" if seconds else "–"
        fell, good = sum(one.why is not None for one in some), sum(one.is_good for one in some)
        most = max((one.off for one in some), default=0.0)
        lines.append(f"| {fault} | {len(some)} | {good} | {fell} | {took} | {most:.2g} |")
    return "\n".join(lines)


def page(told: dict[str, Any], outcomes: Sequence[Outcome]) -> str:
    """For people."""
    run, on = told["run"], told["hardware"]
    return f"""# Gangs whose members are lost

After this page you can say what becomes of an image when a process that draws it with others dies or freezes.

`{run["command"]}`, {run["measured"]}, on {on["name"]}, torch {on["torch"]}, gloo, two processes of one host, beside a
load of {run["load_before"]:.1f} by others.

{table(outcomes)}

A member counts as lost after {SILENT_S:g} s of silence, or when its connection closes. *Drawn*: to its end, and where
a member was lost by the leader alone within {LIMIT_S:g} s. *To fall back*: from the last whole turn to the end of the
first serial step. *Off serial*: what stale activations before that left in the latent, root mean square against its
size. Weights are random and of toy width, so that it says nothing of quality (docs/results/parallel.md does); images
have {STEPS} steps.
"""


@click.command()
@click.option("--seeds", default=100, type=click.IntRange(1), show_default=True)
@click.option("--write", is_flag=True, help="Write docs/results/gangs.json and .md.")
def main(seeds: int, write: bool) -> None:
    """Say what becomes of images whose members are lost."""
    torch.set_num_threads(1)
    run = run_of("bench.gangs")
    with tempfile.TemporaryDirectory(prefix="argus-gangs-") as folder:
        studio = Studio(Path(folder))
        outcomes = [studio.outcome(Case.of(seed)) for seed in range(seeds)]
    if write:
        on = hardware("cpu", torch.float64)
        told = {"run": run, "hardware": on, "outcomes": [asdict(one) for one in outcomes]}
        keep(told, KEPT, PAGE, page(told, outcomes))
    click.echo(table(outcomes))
    for bad in (one for one in outcomes if not one.is_good):
        click.echo(f"not good: {bad}", err=True)


if __name__ == "__main__":
    main()
