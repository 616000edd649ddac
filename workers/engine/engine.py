"""The step executor: one persistent loop over the running rows (Flover's temporal fusion, METHODS.md §3).

::

    submit ─▶ [model held?] ─▶ encoder ─▶ ready ─▶ admit ┐
                  │                                      ├─ step(): admit · denoise · advance · retire
                loader                    decoder ◀──────┘
                                             └─▶ Outcome

Encoding, loading and decoding have a thread each (`desks.py`); rows belong to the loop's thread alone. A request
fails alone: what it does wrong is found row by row, and its neighbours' latents are never touched.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from core.errors import Cancelled, DeadlinePassed, EngineError, NotANumber
from core.families import Family, Level, Model
from workers.engine.curve import StepCurve
from workers.engine.forward import predict
from workers.engine.levels import Levels
from workers.engine.model_pool import Resident, Residents
from workers.engine.request import LateBinding, Order, Outcome
from workers.engine.running_batch import Lane
from workers.engine.running_request import Ticket
from workers.engine.stages import Desks
from workers.latent_cache.cache import LatentCache
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter

log = logging.getLogger(__name__)

COUNTED = ("submitted", "done", "failed", "steps", "forwards", "out_of_memory")


class Engine:
    """Runs the requests of one family on one device.

    Args:
        family: whose models and levels are served.
        device: torch device, e.g. `cpu` or `cuda:0`.
        dtype: of the denoisers; None is float32 on the CPU and bfloat16 on CUDA.
        max_batch: most rows of one forward.
        memory_budget_mb: most weights held; 0 for no limit.
        late_binding: asked for the level again when a request gets its place.
        cache: latents of earlier requests, for `ac` levels; None runs those in full.
        curves: seconds a step by rows, a model or an `fc` level, from the profile; measured further as it runs.
        load: makes an adapter of a model; tests give their own.
        compile_blocks: compile the denoisers' repeated blocks (CUDA).
        threaded: False does everything inside `submit` and `step`.
    """

    def __init__(
        self,
        family: Family,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        max_batch: int = 8,
        memory_budget_mb: float = 0,
        late_binding: LateBinding | None = None,
        cache: LatentCache | None = None,
        *,
        curves: dict[str, StepCurve] | None = None,
        load: Callable[[Model], Adapter] | None = None,
        compile_blocks: bool = False,
        threaded: bool = True,
    ) -> None:
        self.family = family
        self.device = device
        self.dtype = dtype or (torch.bfloat16 if device.startswith("cuda") else torch.float32)
        self.max_batch = max_batch
        self.cache = cache
        self.curves = dict(curves or {})
        self.compile_blocks = compile_blocks
        self.residents = Residents(family, load or self._load_adapter, memory_budget_mb)
        self.levels = Levels(family, cache, late_binding)
        self._desks = Desks(self.levels, self.residents, device, self._arrive, self._finish, threaded)

        self._tickets: dict[str, Ticket] = {}  # every open request
        self._arrived: deque[Ticket] = deque()  # encoded, not yet seen by the loop
        self._ready: list[Ticket] = []  # encoded, waiting for a place
        self._lanes: dict[tuple[Any, ...], Lane] = {}
        self._limits: dict[tuple[Any, ...], int] = {}  # rows of one forward, where memory was found short
        self._served: set[int] = set()  # lanes that had their turn in this round
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._counts: Counter[str] = Counter()
        self._row_steps = 0
        self._after: dict[str, StepCurve] = {}  # from the last step to the image, by model

    # from outside, any thread

    def submit(self, order: Order) -> Future[Outcome]:
        """Take a request in. The future ends with an `Outcome`, or an `EngineError` that says why not.

        A request that is already here is not run twice: its future is answered again.
        """
        with self._lock:
            if order.request_id in self._tickets:
                return self._tickets[order.request_id].future
            ticket = Ticket(order, order.level)
            ticket.future.set_running_or_notify_cancel()
            self._tickets[order.request_id] = ticket
            self._counts["submitted"] += 1
        if self._stopping:
            self._finish(ticket, EngineError("The engine is stopping; the request goes back to its queue."))
        else:
            self._desks.enter(ticket)
            self._wake.set()
        return ticket.future

    def cancel(self, request_id: str) -> bool:
        """Ask for a request to end at the next step; False where it is not here."""
        ticket = self._ticket(request_id)
        if ticket is None:
            return False
        ticket.cancelled = True
        self._wake.set()
        return True

    def park(self, request_id: str) -> bool:
        """`cancel`, but keep where the request stands: its next attempt goes on from there."""
        ticket = self._ticket(request_id)
        if ticket is None:
            return False
        ticket.parking = ticket.cancelled = True
        self._wake.set()
        return True

    def parked(self) -> list[str]:
        """Ids of the requests that can go on here."""
        return self.levels.parking.ids()

    def unpark(self, request_ids: Iterable[str]) -> None:
        """Forget where these requests stood."""
        self.levels.parking.drop(request_ids)

    def relevel(self, request_id: str, level: Level) -> bool:
        """Ask for a running request to go on at a cheaper level of its model; False where that can't be.

        The remaining noise levels are replaced by those of the shorter schedule at the next step; the outcome's
        reason says so. Levels of other models, and those that only begin differently (`ac`), can't be moved to.
        """
        ticket = self._ticket(request_id)
        if ticket is None or not self.levels.can_move(ticket, level):
            return False
        ticket.wish = level
        self._wake.set()
        return True

    def allow(self, request_id: str, levels: tuple[str, ...]) -> bool:
        """Change what an open request may be moved to; where its own level is not named it moves at the next step."""
        ticket = self._ticket(request_id)
        if ticket is None:
            return False
        ticket.order = replace(ticket.order, allowed_levels=levels)
        self._wake.set()
        return True

    def load(self, model_id: str) -> Resident:
        """Hold a model; waits until there is room for it and it is loaded and warm."""
        return self._desks.load(model_id)

    def loaded(self) -> list[str]:
        """Ids of the models held, most recently used first."""
        return list(self.residents.held())

    def start(self) -> None:
        """Run the loop in a thread of its own."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
            self._thread.start()

    def stop(self, drain_s: float = 0.0) -> None:
        """End the loop for good; what is still open after `drain_s` seconds fails with a reason."""
        until = time.monotonic() + drain_s
        while self._tickets and self._thread and time.monotonic() < until:
            time.sleep(0.05)
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._desks.close()
        self._fail_all(EngineError("The engine was stopped; the request can run on another worker."))

    def stats(self) -> dict[str, Any]:
        """Counters and measurements since the start, for records and dashboards."""
        steps = self._counts["steps"]
        return {
            **{name: self._counts[name] for name in COUNTED},
            "rows_mean": self._row_steps / steps if steps else 0.0,
            "running": sum(len(lane) for lane in list(self._lanes.values())),
            "open": len(self._tickets),
            "parked": len(self.parked()),
            "models": self.residents.stats(),
            "loads": dict(self.residents.loads),
            "step_s": {name: dict(curve.points) for name, curve in list(self.curves.items())},
            "cache": self.cache.stats() if self.cache else None,
        }

    # the loop

    def step(self) -> bool:
        """One turn: admit, denoise every row of a lane once, advance each, retire the finished.

        Returns False when there was no row to step.
        """
        self._admit()
        lane = self._next_lane()
        if lane is None:
            return False
        with self._measured(lane):
            predictions = self._denoise(lane)
            self._advance(lane, predictions)
        self._retire(lane)
        return True

    def _admit(self) -> None:
        """Give places to those who wait, earliest deadline first, as long as those in flight stay in time."""
        self._desks.load_wanted()
        while self._arrived:
            self._ready.append(self._arrived.popleft())
        self._obey()
        for ticket in sorted(self._ready, key=lambda ticket: ticket.urgency):
            lane = self._lane_of(ticket)
            if len(lane) < self._room(lane):
                self._ready.remove(ticket)
                self.levels.bind(ticket, len(lane), self._step_s(lane, len(lane) + 1), self._after_s(ticket))
                lane.join(ticket)
                self._lanes[_key(ticket)] = lane

    def _obey(self) -> None:
        """What was asked from outside, and deadlines, take effect here: between two steps."""
        self._ready, gone = _split(self._ready)
        for ticket, reason in self._desks.sift(_split) + gone:
            self._finish(ticket, reason)
        for lane in list(self._lanes.values()):
            step_s = self._step_s(lane, len(lane))
            for index in reversed(range(len(lane))):
                ticket = lane.tickets[index]
                self.levels.follow(ticket, step_s, self._after_s(ticket))
                if (error := _given_up(ticket)) is not None:
                    self._leave(lane, index)
                    self._finish(ticket, self._parked(ticket) if ticket.parks else error)

    def _parked(self, ticket: Ticket) -> Cancelled:
        """Keep where a running request stands; answers what to end this attempt with."""
        assert ticket.start is not None
        self.levels.parking.put(ticket.order, ticket.level, ticket.start, ticket.row, ticket.kept)
        return Cancelled(f"It ran {len(ticket.rows)} steps; {ticket.steps_left} are left.")

    def _next_lane(self) -> Lane | None:
        """Lanes take turns: each once a round, the most urgent of a round first."""
        lanes = list(self._lanes.values())
        if not lanes:
            return None
        waiting = [lane for lane in lanes if id(lane) not in self._served]
        if not waiting:
            self._served.clear()
            waiting = lanes
        lane = min(waiting, key=lambda lane: lane.deadline)
        self._served.add(id(lane))
        return lane

    def _denoise(self, lane: Lane) -> Tensor:
        """Predictions [n, …] for the lane's n rows, all in one forward unless memory forbids."""
        now = time.time()
        for ticket in lane.tickets:
            if not ticket.rows:
                ticket.mark(started=now)
        predictions = predict(lane, self._counts)
        if lane.limit < self.max_batch:
            self._limits[_key(lane.tickets[0])] = lane.limit
        return predictions

    def _advance(self, lane: Lane, predictions: Tensor) -> None:
        """Each row takes its own sampler's step; latents that the cache wants are set aside."""
        lane.adapter.advance(lane.batch(0, len(lane)), predictions)
        for index, ticket in enumerate(lane.tickets):
            k = ticket.row.walk.step_of_schedule
            if k in ticket.keep:
                ticket.kept[k] = lane.latents[index].to(torch.float16, copy=True)

    def _retire(self, lane: Lane) -> None:
        """Finished rows leave for the decoder, failed ones for good."""
        healthy = lane.finite()
        for index in reversed(range(len(lane))):
            ticket = lane.tickets[index]
            if ticket.error is not None:
                self._leave(lane, index)
                self._finish(ticket, ticket.error)
            elif not healthy[index]:
                self._leave(lane, index)
                self._not_a_number(ticket)
            elif ticket.row.walk.done:
                self._leave(lane, index)
                ticket.mark(denoised=time.time())
                self._desks.decode(ticket)

    # parts of the loop

    def _run(self) -> None:
        while not self._stopping:
            try:
                worked = self.step()
            except Exception as error:  # a fault of ours: nobody may wait for ever
                log.exception("the engine's loop failed")
                self._fail_all(EngineError(f"The engine failed: {error!r}. The request can be sent again."))
                continue
            if not worked:
                self._wake.wait()
                self._wake.clear()

    def _lane_of(self, ticket: Ticket) -> Lane:
        key = _key(ticket)
        alone = ticket.level.id if ticket.row.features else None
        return self._lanes.get(key) or Lane(ticket.adapter, self._limits.get(key, self.max_batch), alone=alone)

    def _leave(self, lane: Lane, index: int) -> None:
        ticket = lane.leave(index)
        ticket.forget_features()
        if not len(lane):
            del self._lanes[_key(ticket)]
            self._served.discard(id(lane))

    def _room(self, lane: Lane) -> int:
        """The most rows with which every row that is in time stays in time; at least what runs, and one."""
        now_s = self._step_s(lane, max(1, len(lane)))
        bound = [ticket for ticket in lane.tickets if ticket.steps_left * now_s <= ticket.seconds_left]
        for rows in range(lane.limit, max(len(lane), 1), -1):
            step_s = self._step_s(lane, rows)
            if all(ticket.steps_left * step_s <= ticket.seconds_left for ticket in bound):
                return rows
        return max(len(lane), 1)

    def _step_s(self, lane: Lane, rows: int) -> float:
        """Seconds between two steps of a lane with so many rows, the other lanes' turns included; 0 when unknown."""
        curve = self.curves.get(lane.pace, StepCurve())
        turns = len(self._lanes) + (not lane.tickets)  # one that is empty is not yet among them
        return turns * (curve.seconds(rows) or 0.0)

    def _after_s(self, ticket: Ticket) -> float:
        """Seconds from a request's last step to its image; 0 when unknown."""
        return self._after.get(ticket.level.model, StepCurve()).seconds(1) or 0.0

    def _not_a_number(self, ticket: Ticket) -> None:
        """A latent went bad: when it came from the cache the request runs in full, else it fails."""
        if self.levels.without_cache(ticket):
            self._ready.append(ticket)
        else:
            self._finish(ticket, NotANumber("The latent went NaN or infinite; lower the guidance or use float32."))

    @contextmanager
    def _measured(self, lane: Lane) -> Iterator[None]:
        """Time a step to its end on the device; one that ran short of memory says nothing about others."""
        rows, shortages = len(lane), self._counts["out_of_memory"]
        began = time.perf_counter()
        yield
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
        self._counts["steps"] += 1
        self._row_steps += rows
        if shortages == self._counts["out_of_memory"] and rows <= lane.limit:
            curve = self.curves.setdefault(lane.pace, StepCurve())
            curve.observe(rows, time.perf_counter() - began)

    # ends

    def _ticket(self, request_id: str) -> Ticket | None:
        with self._lock:
            return self._tickets.get(request_id)

    def _arrive(self, ticket: Ticket) -> None:
        self._arrived.append(ticket)
        self._wake.set()

    def _finish(self, ticket: Ticket, end: Image | Exception) -> None:
        """A request ends, once: with its image or with the reason why not."""
        with self._lock:
            if self._tickets.pop(ticket.order.request_id, None) is None:
                return
            self._counts["failed" if isinstance(end, Exception) else "done"] += 1
        if ticket.leased is not None:
            self.residents.release(ticket.level.model)
        if isinstance(end, Exception):
            ticket.future.set_exception(end)
        else:
            after = self._after.setdefault(ticket.level.model, StepCurve())
            after.observe(1, ticket.times.decoded - ticket.times.denoised)
            ticket.future.set_result(ticket.outcome(end))
        self._wake.set()

    def _fail_all(self, error: EngineError) -> None:
        for ticket in [ticket for lane in self._lanes.values() for ticket in lane.tickets]:
            ticket.forget_features()
        self._lanes.clear()
        self._ready.clear()
        self._arrived.clear()
        for ticket in list(self._tickets.values()):
            self._finish(ticket, error)

    # models

    def _load_adapter(self, model: Model) -> Adapter:
        """Load a model; on CUDA also compile, where wanted, and warm up, so that the first request meets warm kernels."""
        adapter = load_adapter(model, self.device, self.dtype)
        if self.device.startswith("cuda"):
            if self.compile_blocks:
                adapter.compile()
            d, level = self.family.defaults, self.family.levels_of(model.id)[0]
            adapter.warm_up(
                Order("warm-up", "warm-up", 0, level, d.steps, d.guidance, d.width, d.height), self.max_batch
            )
        return adapter


def _key(ticket: Ticket) -> tuple[Any, ...]:
    """Rows with the same key share a lane."""
    return (ticket.level.model, ticket.row.shape, ticket.level.id if ticket.row.features else None)


def _given_up(ticket: Ticket) -> EngineError | None:
    """Why a request is not to be continued, if so."""
    if ticket.cancelled:
        return Cancelled("Nothing of it is kept; it starts again." if ticket.parking else "The request was cancelled.")
    if ticket.order.drop_late and ticket.late:
        return DeadlinePassed("The deadline passed before the image was finished; nothing was kept.")
    return None


def _split(tickets: list[Ticket]) -> tuple[list[Ticket], list[tuple[Ticket, EngineError]]]:
    """Those to go on with, and those to give up with the reason; already ended ones are neither."""
    verdicts = [(ticket, _given_up(ticket)) for ticket in tickets if not ticket.future.done()]
    going = [ticket for ticket, error in verdicts if error is None]
    return going, [(ticket, error) for ticket, error in verdicts if error is not None]
