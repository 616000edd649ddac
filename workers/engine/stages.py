"""Work beside the loop, a thread each: loading models, encoding prompts, decoding latents, keeping cached ones."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import torch
from PIL.Image import Image

from core.errors import DecodeFailed, EngineError
from workers.engine.forward import as_engine_error, is_memory
from workers.engine.levels import Levels
from workers.engine.model_pool import Resident, Residents
from workers.engine.running_request import Ticket

log = logging.getLogger(__name__)


class Desks:
    """A ticket enters here and arrives encoded at the loop; denoised it comes back to be decoded.

    Args:
        arrived: told of each ticket that has its row.
        finished: told of each ticket that ended, with its image or the error.
        threaded: False does everything at once, in the caller's thread.
    """

    def __init__(
        self,
        levels: Levels,
        residents: Residents,
        device: str,
        arrived: Callable[[Ticket], None],
        finished: Callable[[Ticket, Image | Exception], None],
        threaded: bool = True,
    ) -> None:
        self._levels, self._residents, self._device = levels, residents, device
        self._arrived, self._finished = arrived, finished
        self._wanted: list[Ticket] = []  # their model is not held
        self._loading = False
        self._lock = threading.Lock()
        names = ("loader", "encoder", "decoder", "keeper")
        self._loader, self._encoder, self._decoder, self._keeper = (_desk(name, threaded) for name in names)

    def enter(self, ticket: Ticket) -> None:
        """Have the prompt encoded at once when the model is held; else wait for the model."""
        if ticket.future.done():
            return
        adapter = self._residents.lease(ticket.level.model)
        if adapter is None:
            with self._lock:
                self._wanted.append(ticket)
            return
        ticket.leased = adapter
        self._levels.prefetch(ticket)
        self._encoder.submit(self._encode, ticket)

    def decode(self, ticket: Ticket) -> None:
        """Have a finished latent made an image."""
        self._decoder.submit(self._decode, ticket)

    def load(self, model_id: str) -> Resident:
        """Hold a model; waits for room and for the loading."""
        return self._loader.submit(self._load, model_id).result()

    def load_wanted(self) -> None:
        """Have the model loaded that the most urgent of those without one needs, once there is room."""
        with self._lock:
            if not self._wanted or self._loading:
                return
            model_id = min(self._wanted, key=lambda ticket: ticket.urgency).level.model
        try:
            if not self._residents.make_room(model_id):
                return
        except EngineError as error:
            self._model_failed(model_id, error)
            return
        self._loading = True
        self._loader.submit(self._load_for_waiting, model_id)

    def sift(self, split: Callable[[list[Ticket]], tuple[list[Ticket], list[Any]]]) -> list[Any]:
        """Let `split` part those who wait for a model from those who need not; answers the latter."""
        with self._lock:
            self._wanted, gone = split(self._wanted)
        return gone

    def close(self) -> None:
        """End the threads; what waits for them is not begun."""
        for desk in (self._loader, self._encoder, self._decoder, self._keeper):
            desk.shutdown(wait=True, cancel_futures=True)

    def _encode(self, ticket: Ticket) -> None:
        try:
            self._levels.prepare(ticket)
            if self._device.startswith("cuda"):  # another thread reads what this one asked of the device
                torch.cuda.current_stream(self._device).synchronize()
            ticket.mark(encoded=time.time())
            self._arrived(ticket)
        except Exception as error:
            self._finished(ticket, as_engine_error(error))

    def _decode(self, ticket: Ticket) -> None:
        scheduler = ticket.scheduler
        try:
            image = self._image_of(ticket)
        except EngineError as error:
            return self._finished(ticket, error)
        except Exception as error:
            return self._finished(ticket, DecodeFailed(f"Decoding failed: {error!r}."))
        ticket.mark(decoded=time.time())
        self._finished(ticket, image)
        if ticket.kept:
            self._keeper.submit(self._store, ticket, scheduler)

    def _image_of(self, ticket: Ticket) -> Image:
        try:
            return ticket.adapter.decode(ticket.row.latent, ticket.row.size)
        except Exception as error:
            if not is_memory(error):
                raise
            ticket.because("out of memory when decoding, tried again")
            torch.cuda.empty_cache()
            return ticket.adapter.decode(ticket.row.latent, ticket.row.size)

    def _store(self, ticket: Ticket, scheduler: str) -> None:
        try:
            self._levels.store(ticket, scheduler)
        except Exception:  # the cache's faults are no request's
            log.exception("latents of %s could not be kept", ticket.order.request_id)

    def _load(self, model_id: str) -> Resident:
        self._residents.wait_for_room(model_id)
        resident = self._residents.load(model_id)
        log.info("model %s loaded in %.1f s, %.0f MB", model_id, resident.load_s, resident.memory_mb)
        return resident

    def _load_for_waiting(self, model_id: str) -> None:
        try:
            self._load(model_id)
        except Exception as error:
            log.exception("model %s could not be loaded", model_id)
            self._model_failed(model_id, as_engine_error(error))
        finally:
            with self._lock:
                waiting, self._wanted, self._loading = self._wanted, [], False
            for ticket in waiting:
                self.enter(ticket)

    def _model_failed(self, model_id: str, error: Exception) -> None:
        with self._lock:
            failed = [ticket for ticket in self._wanted if ticket.level.model == model_id]
            self._wanted = [ticket for ticket in self._wanted if ticket not in failed]
        for ticket in failed:
            self._finished(ticket, error)


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
