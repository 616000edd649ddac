"""The step executor: one persistent loop over the running rows (Flover's temporal fusion, METHODS.md §3).

::

    submit ─▶ [model held?] ─▶ encoder ─▶ ready ─▶ admit ┐
                  │                                      ├─ step(): obey · admit · denoise · advance · retire
                loader                    decoder ◀──────┘
                                             └─▶ Outcome

Encoding, loading and decoding have a thread each; rows belong to the loop's thread alone. A request fails alone:
whatever it does wrong is found row by row, and its neighbours' latents are never touched.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from core.errors import Cancelled, DeadlinePassed, DecodeFailed, EngineError, NotANumber, OutOfMemory
from core.families import Family, Level, Model
from workers.engine.curve import StepCurve
from workers.engine.lane import Lane
from workers.engine.order import LateBinding, Order, Outcome
from workers.engine.residents import Resident, Residents
from workers.engine.ticket import Ticket
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter
from workers.strategies import begin
from workers.strategies.latents import LatentCache

log = logging.getLogger(__name__)


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
        curves: seconds a step by rows, a model, from the profile; measured further as it runs.
        load: makes an adapter of a model; tests give their own.
        threaded: False runs encoding, loading and decoding inside `submit` and `step`.
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
        self.late_binding = late_binding
        self.cache = cache
        self.curves = dict(curves or {})
        self.compile_blocks = compile_blocks
        self.residents = Residents(family, load or self._load_adapter, memory_budget_mb)

        self._tickets: dict[str, Ticket] = {}  # every open request
        self._wanted: list[Ticket] = []  # their model is not held
        self._arrived: deque[Ticket] = deque()  # encoded, not yet seen by the loop
        self._ready: list[Ticket] = []  # encoded, waiting for a place
        self._lanes: dict[tuple[Any, ...], Lane] = {}
        self._limits: dict[tuple[Any, ...], int] = {}  # rows of one forward, where memory was found short
        self._served: set[int] = set()  # lanes that had their turn in this round
        self._loading = False
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._counts: Counter[str] = Counter()
        self._row_steps = 0

        self._loader = _desk("loader", threaded)
        self._encoder = _desk("encoder", threaded)
        self._decoder = _desk("decoder", threaded)
        self._keeper = _desk("keeper", threaded)

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
            self._fail(ticket, EngineError("The engine is stopping; the request goes back to its queue."))
        else:
            self._find_model(ticket)
        return ticket.future

    def cancel(self, request_id: str) -> bool:
        """Ask for a request to end at the next step; False where it is not here."""
        with self._lock:
            ticket = self._tickets.get(request_id)
        if ticket is None:
            return False
        ticket.cancelled = True
        self._wake.set()
        return True

    def relevel(self, request_id: str, level: Level) -> bool:
        """Ask for a running request to go on at a cheaper level of its model; False where that can't be.

        The remaining noise levels are replaced by those of the shorter schedule at the next step; the outcome's
        reason says so. Levels of other models, and those that only begin differently (`ac`), can't be moved to.
        """
        with self._lock:
            ticket = self._tickets.get(request_id)
        if ticket is None or level.model != ticket.level.model or level.strategy not in ("fs", "exact"):
            return False
        ticket.wish = level
        self._wake.set()
        return True

    def load(self, model_id: str) -> Resident:
        """Hold a model; waits until there is room for it and it is loaded and warm."""
        return self._loader.submit(self._load, model_id).result()

    def loaded(self) -> list[str]:
        """Ids of the models held, most recently used first."""
        return list(self.residents.held())

    def start(self) -> None:
        """Run the loop in a thread of its own."""
        if self._thread is None:
            self._stopping = False
            self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
            self._thread.start()

    def stop(self, drain_s: float = 0.0) -> None:
        """End the loop; what is still open after `drain_s` seconds fails with a reason."""
        until = time.monotonic() + drain_s
        while self._tickets and self._thread and time.monotonic() < until:
            time.sleep(0.05)
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for desk in (self._loader, self._encoder, self._decoder, self._keeper):
            desk.shutdown(wait=True, cancel_futures=True)
        self._fail_all(EngineError("The engine was stopped; the request can run on another worker."))

    def stats(self) -> dict[str, Any]:
        """Counters and measurements since the start, for records and dashboards."""
        forwards = self._counts["steps"]
        return {
            **{
                name: self._counts[name]
                for name in ("submitted", "done", "failed", "steps", "forwards", "out_of_memory")
            },
            "rows_mean": self._row_steps / forwards if forwards else 0.0,
            "running": sum(len(lane) for lane in list(self._lanes.values())),
            "open": len(self._tickets),
            "models": {
                name: {
                    "memory_mb": held.memory_mb,
                    "load_s": held.load_s,
                    "loads": self.residents.loads[name],
                }
                for name, held in self.residents.held().items()
            },
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

    def _admit(self) -> None:
        """Give places to those who wait, earliest deadline first, as long as those in flight stay in time."""
        self._load_wanted()
        while self._arrived:
            self._ready.append(self._arrived.popleft())
        self._obey()
        for ticket in sorted(self._ready, key=lambda ticket: ticket.urgency):
            lane = self._lane_of(ticket)
            if len(lane) < self._room(lane):
                self._ready.remove(ticket)
                self._bind(ticket, lane)
                lane.join(ticket)
                self._lanes[self._key(ticket)] = lane

    def _obey(self) -> None:
        """What was asked from outside, and deadlines, take effect here: between two steps."""
        with self._lock:
            self._wanted, unloaded = _split(self._wanted)
        self._ready, unplaced = _split(self._ready)
        for ticket, reason in unloaded + unplaced:
            self._fail(ticket, reason)
        for lane in list(self._lanes.values()):
            for index in reversed(range(len(lane))):
                ticket = lane.tickets[index]
                if ticket.wish is not None:
                    self._change_level(ticket)
                if (error := _given_up(ticket)) is not None:
                    self._leave(lane, index)
                    self._fail(ticket, error)

    def _next_lane(self) -> Lane | None:
        """Lanes take turns: each once a round, the most urgent of a round first."""
        lanes = [lane for lane in self._lanes.values() if len(lane)]
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
        """Predictions for every row of the lane; rows whose forward fails even alone get their `error` set."""
        began = time.time()
        for ticket in lane.tickets:
            if not ticket.rows:
                ticket.mark(started=began)
        parts = [part for start, stop in lane.batches() for part in self._forward(lane, start, stop)]
        return torch.cat(parts)

    def _forward(self, lane: Lane, start: int, stop: int) -> list[Tensor]:
        """One forward; where it fails, its two halves, down to the row at fault (which answers nothing new)."""
        try:
            predictions = lane.adapter.denoise(lane.batch(start, stop))
            self._counts["forwards"] += 1
            for ticket in lane.tickets[start:stop]:
                ticket.rows.append(stop - start)
            return [predictions]
        except Exception as error:
            shortage = _is_memory(error)
            if stop - start == 1:
                lane.tickets[start].error = _as_engine_error(error)
                return [torch.zeros_like(lane.latents[start:stop])]
            log.warning("forward of %d rows failed (%r): trying halves", stop - start, error)
        if shortage:
            self._shrink(lane, stop - start)
        middle = (start + stop) // 2
        return self._forward(lane, start, middle) + self._forward(lane, middle, stop)

    def _shrink(self, lane: Lane, rows: int) -> None:
        """So many rows did not fit: half of them from now on."""
        self._counts["out_of_memory"] += 1
        lane.limit = max(1, min(lane.limit, rows // 2))
        self._limits[self._key(lane.tickets[0])] = lane.limit
        for ticket in lane.tickets:
            ticket.because(f"out of memory at {rows} rows, continued with {lane.limit}")
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def _advance(self, lane: Lane, predictions: Tensor) -> None:
        """Each row takes its own sampler's step; latents that the cache wants are set aside."""
        lane.adapter.advance(lane.batch(0, len(lane)), predictions)
        if self.cache is None:
            return
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
                self._fail(ticket, ticket.error)
            elif not healthy[index]:
                self._leave(lane, index)
                self._not_a_number(ticket)
            elif ticket.row.walk.done:
                self._leave(lane, index)
                ticket.mark(denoised=time.time())
                self._decoder.submit(self._decode, ticket)

    # parts of the loop

    def _lane_of(self, ticket: Ticket) -> Lane:
        key = self._key(ticket)
        return self._lanes.get(key) or Lane(ticket.adapter, self._limits.get(key, self.max_batch))

    def _key(self, ticket: Ticket) -> tuple[Any, ...]:
        return (ticket.level.model, ticket.row.shape)

    def _leave(self, lane: Lane, index: int) -> None:
        ticket = lane.leave(index)
        if not len(lane):
            del self._lanes[self._key(ticket)]
            self._served.discard(id(lane))

    def _room(self, lane: Lane) -> int:
        """The most rows with which every row that is in time stays in time; at least what runs, and one."""
        curve = self.curves.get(lane.adapter.model.id, StepCurve())
        sharing = max(1, len(self._lanes))
        for rows in range(lane.limit, max(len(lane), 1), -1):
            step_s = sharing * (curve.seconds(rows) or 0.0)
            now_s = sharing * (curve.seconds(max(1, len(lane))) or 0.0)
            if all(
                t.steps_left * step_s <= t.seconds_left or t.steps_left * now_s > t.seconds_left
                for t in lane.tickets
            ):
                return rows
        return max(len(lane), 1)

    def _bind(self, ticket: Ticket, lane: Lane) -> None:
        """Ask once more for the level, now that the request gets its place."""
        if self.late_binding is None:
            return
        left = None if ticket.order.deadline is None else ticket.seconds_left
        wanted = self.late_binding(ticket.order, left, len(lane))
        allowed = ticket.order.allowed_levels
        if wanted is None or wanted == ticket.level.id or (allowed and wanted not in allowed):
            return
        level = self.family.level(wanted)
        if level.model != ticket.level.model or self._guidance(ticket.order, level) != ticket.row.guidance:
            return
        ticket.because(f"{level.id} instead of {ticket.level.id} when its turn came")
        ticket.level = level
        self._place(ticket, lane.adapter)

    def _place(self, ticket: Ticket, adapter: Adapter) -> None:
        """Put an encoded request at the start of its level (again)."""
        ticket.start = begin(ticket.order, ticket.level, self.family, ticket.hit)
        ticket.row.latent, ticket.row.walk = adapter.place(ticket.order, ticket.start)
        ticket.keep = self._keep(ticket)

    def _change_level(self, ticket: Ticket) -> None:
        level, ticket.wish = ticket.wish, None
        assert level is not None
        steps, _ = level.schedule(ticket.order.steps, self.family.defaults.steps)
        before = ticket.row.walk.left
        if ticket.row.walk.shorten(steps):
            ticket.because(
                f"moved from {ticket.level.id} to {level.id} with {before} steps left, {ticket.row.walk.left} run"
            )
            ticket.level, ticket.keep = level, frozenset()
        else:
            ticket.because(f"asked to move to {level.id}, which would save nothing")

    def _not_a_number(self, ticket: Ticket) -> None:
        """A latent went bad: when it came from the cache the request runs in full, else it fails."""
        if ticket.start is None or ticket.start.latent is None:
            self._fail(
                ticket, NotANumber("The latent is not a number any more; lower the guidance or use float32.")
            )
            return
        if self.cache is not None and ticket.hit is not None:
            self.cache.forget(ticket.hit)
        ticket.because("the cached latent went bad: run in full")
        ticket.hit, ticket.rows = None, []
        self._place(ticket, ticket.adapter)
        self._ready.append(ticket)

    @contextmanager
    def _measured(self, lane: Lane) -> Iterator[None]:
        """Time a step; the forward's end is awaited on the device."""
        rows, failures = len(lane), self._counts["out_of_memory"]
        began = time.perf_counter()
        yield
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
        self._counts["steps"] += 1
        self._row_steps += rows
        if failures == self._counts["out_of_memory"] and rows <= lane.limit:
            curve = self.curves.setdefault(lane.adapter.model.id, StepCurve())
            curve.observe(rows, time.perf_counter() - began)

    # desks: work beside the loop

    def _prefetch(self, ticket: Ticket) -> None:
        """Start fetching what the cache may offer, while the request waits."""
        candidates = [ticket.level, *(self.family.level(name) for name in ticket.order.allowed_levels)]
        deepest = max((level for level in candidates if level.strategy == "ac"), key=_skip, default=None)
        if self.cache is not None and deepest is not None:
            ticket.fetch = self.cache.prefetch(ticket.order, deepest, self.family, ticket.scheduler)

    def _find_model(self, ticket: Ticket) -> None:
        adapter = self.residents.lease(ticket.level.model)
        if adapter is None:
            with self._lock:
                self._wanted.append(ticket)
            self._wake.set()
        else:
            ticket.leased = adapter
            self._prefetch(ticket)
            self._encoder.submit(self._encode, ticket)

    def _load_wanted(self) -> None:
        """Have the model loaded that the most urgent of those without one needs, once there is room."""
        with self._lock:
            if not self._wanted or self._loading:
                return
            model_id = min(self._wanted, key=lambda ticket: ticket.urgency).level.model
        try:
            if not self.residents.make_room(model_id):
                return
        except EngineError as error:
            self._model_failed(model_id, error)
            return
        self._loading = True
        self._loader.submit(self._load_for_waiting, model_id)

    def _load_for_waiting(self, model_id: str) -> None:
        try:
            self._load(model_id)
        except Exception as error:
            log.exception("model %s could not be loaded", model_id)
            self._model_failed(model_id, _as_engine_error(error))
        finally:
            with self._lock:
                waiting, self._wanted, self._loading = self._wanted, [], False
            for ticket in waiting:
                self._find_model(ticket)
            self._wake.set()

    def _model_failed(self, model_id: str, error: Exception) -> None:
        with self._lock:
            failed = [ticket for ticket in self._wanted if ticket.level.model == model_id]
            self._wanted = [ticket for ticket in self._wanted if ticket not in failed]
        for ticket in failed:
            self._fail(ticket, error)

    def _load(self, model_id: str) -> Resident:
        self.residents.wait_for_room(model_id)
        resident = self.residents.load(model_id)
        log.info("model %s loaded in %.1f s, %.0f MB", model_id, resident.load_s, resident.memory_mb)
        return resident

    def _load_adapter(self, model: Model) -> Adapter:
        adapter = load_adapter(model, self.device, self.dtype)
        if self.device.startswith("cuda"):
            if self.compile_blocks:
                adapter.compile()
            adapter.warm_up(self._example(model), self.max_batch)
        return adapter

    def _example(self, model: Model) -> Order:
        defaults, level = self.family.defaults, self.family.levels_of(model.id)[0]
        return Order(
            "warm-up", "warm-up", 0, level, defaults.steps, defaults.guidance, defaults.width, defaults.height
        )

    def _encode(self, ticket: Ticket) -> None:
        """Prompt to conditioning, seed to noise, level to schedule."""
        try:
            if ticket.fetch is not None:
                ticket.hit = ticket.fetch.result()
            ticket.start = begin(ticket.order, ticket.level, self.family, ticket.hit)
            if ticket.start.note:
                ticket.because(ticket.start.note)
            guidance = self._guidance(ticket.order, ticket.level)
            ticket.row = ticket.adapter.prepare(ticket.order, ticket.start, guidance)
            ticket.keep = self._keep(ticket)
            self._settle()
            ticket.mark(encoded=time.time())
            self._arrived.append(ticket)
        except Exception as error:
            self._fail(ticket, _as_engine_error(error))
        self._wake.set()

    def _decode(self, ticket: Ticket) -> None:
        """Latent to image, and the promise is kept; then the cache may have what was set aside."""
        try:
            image = self._decoded(ticket)
        except EngineError as error:
            return self._fail(ticket, error)
        except Exception as error:
            return self._fail(ticket, DecodeFailed(f"Decoding failed: {error!r}."))
        ticket.mark(decoded=time.time())
        self._counts["done"] += 1
        if ticket.kept:
            self._keeper.submit(self._store, ticket, ticket.scheduler)
        self._close(ticket)
        ticket.future.set_result(ticket.outcome(image))

    def _store(self, ticket: Ticket, scheduler: str) -> None:
        """Let the cache have what was set aside; its faults are no request's."""
        assert self.cache is not None
        assert ticket.start is not None
        try:
            self.cache.keep(
                ticket.order, ticket.level, self.family, scheduler, ticket.start.steps, ticket.kept
            )
        except Exception:
            log.exception("latents of %s could not be kept", ticket.order.request_id)

    def _decoded(self, ticket: Ticket) -> Any:
        try:
            return ticket.adapter.decode(ticket.row.latent, ticket.row.size)
        except Exception as error:
            if not _is_memory(error):
                raise
            ticket.because("out of memory when decoding, tried again")
            torch.cuda.empty_cache()
            return ticket.adapter.decode(ticket.row.latent, ticket.row.size)

    def _keep(self, ticket: Ticket) -> frozenset[int]:
        """The K at which the cache wants this request's latents."""
        assert ticket.start is not None
        if self.cache is None or ticket.level.strategy not in ("exact", "ac") or ticket.start.skip:
            return frozenset()
        return self.cache.depths(self.family, ticket.level.model, ticket.scheduler, ticket.start.steps)

    def _settle(self) -> None:
        """What this thread asked of the device is done before another thread reads it."""
        if self.device.startswith("cuda"):
            torch.cuda.current_stream(self.device).synchronize()

    def _guidance(self, order: Order, level: Level) -> float:
        return order.guidance if level.guidance is None else level.guidance

    # ends

    def _close(self, ticket: Ticket) -> None:
        with self._lock:
            self._tickets.pop(ticket.order.request_id, None)
        if ticket.leased is not None:
            self.residents.release(ticket.level.model)
            ticket.leased = None
        self._wake.set()

    def _fail(self, ticket: Ticket, error: Exception) -> None:
        if ticket.future.done():
            return
        self._counts["failed"] += 1
        self._close(ticket)
        ticket.future.set_exception(error)

    def _fail_all(self, error: EngineError) -> None:
        self._lanes.clear()
        self._ready.clear()
        self._arrived.clear()
        self._wanted.clear()
        for ticket in list(self._tickets.values()):
            self._fail(ticket, error)


def _given_up(ticket: Ticket) -> EngineError | None:
    """Why a request is not to be continued, if so."""
    if ticket.cancelled:
        return Cancelled("The request was cancelled.")
    if ticket.order.drop_late and ticket.late:
        return DeadlinePassed("The deadline passed before the image was finished; nothing was kept.")
    return None


def _split(tickets: list[Ticket]) -> tuple[list[Ticket], list[tuple[Ticket, EngineError]]]:
    """Those to go on with, and those to give up with the reason; already failed ones are neither."""
    verdicts = [(ticket, _given_up(ticket)) for ticket in tickets if not ticket.future.done()]
    going = [ticket for ticket, error in verdicts if error is None]
    return going, [(ticket, error) for ticket, error in verdicts if error is not None]


def _skip(level: Level) -> int:
    return level.skip


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "not enough memory" in str(error)


def _as_engine_error(error: Exception) -> Exception:
    """The error as the record shall name it; those with a code of their own stay."""
    if hasattr(error, "code"):
        return error
    if _is_memory(error):
        return OutOfMemory(
            "The request does not fit into the device's memory even alone; use a smaller size or level."
        )
    failure = EngineError(f"The model failed on this request: {error!r}.")
    failure.__cause__ = error
    return failure


class _Inline(Executor):
    """Does the work at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def _desk(name: str, threaded: bool) -> Executor:
    return ThreadPoolExecutor(1, thread_name_prefix=name) if threaded else _Inline()
