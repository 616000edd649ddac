"""Requests that wait for a model, and the thread that loads models for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor

from core.errors import EngineError
from workers.engine.faults import as_engine_error
from workers.engine.model_pool import ModelPool, PooledModel
from workers.engine.running_request import RunningRequest

log = logging.getLogger(__name__)


class ModelQueue:
    """Leases models to requests; one that is not held is loaded when there is room for it.

    Args:
        loader: runs the loading.
        ready: told of each request that has its model.
        finish: told of each request whose model can't be loaded.
    """

    def __init__(
        self,
        pool: ModelPool,
        loader: Executor,
        ready: Callable[[RunningRequest], None],
        finish: Callable[[RunningRequest, Exception], None],
    ) -> None:
        self._pool, self._loader, self._ready, self._finish = pool, loader, ready, finish
        self._waiting: list[RunningRequest] = []
        self._loading = False
        self._lock = threading.Lock()

    def enter(self, request: RunningRequest) -> None:
        """Go on at once where the model is held, else wait for it."""
        if request.future.done():
            return
        adapter = self._pool.lease(request.level.model)
        if adapter is None:
            with self._lock:
                self._waiting.append(request)
            return
        request.leased = adapter
        self._ready(request)

    def load(self, model_id: str) -> PooledModel:
        """Hold a model; waits for room and for the loading."""
        return self._loader.submit(self._load, model_id).result()

    def preload(self) -> None:
        """Begin to load a model that nobody asked for yet, unless one is being loaded."""
        with self._lock:
            model_id = None if self._loading or self._waiting else self._pool.spare()
            self._loading |= model_id is not None
        if model_id is not None:
            self._loader.submit(self._load_for_waiting, model_id)

    def load_wanted(self) -> None:
        """Start loading the model of the most urgent request without one, if there is room for it."""
        with self._lock:
            if not self._waiting or self._loading:
                return
            model_id = min(self._waiting, key=lambda request: request.urgency).level.model
        try:
            if not self._pool.make_room(model_id):
                return
        except EngineError as error:
            self._fail_waiting(model_id, error)
            return
        self._loading = True
        self._loader.submit(self._load_for_waiting, model_id)

    def remove_ended(self) -> list[RunningRequest]:
        """Take out those that were cancelled."""
        with self._lock:
            ended = [request for request in self._waiting if request.reason_to_end is not None]
            self._waiting = [request for request in self._waiting if request.reason_to_end is None]
        return ended

    def _load(self, model_id: str) -> PooledModel:
        self._pool.wait_for_room(model_id)
        model = self._pool.load(model_id)
        log.info("model %s loaded in %.1f s, %.0f MB", model_id, model.load_s, model.memory_mb)
        return model

    def _load_for_waiting(self, model_id: str) -> None:
        try:
            self._load(model_id)
        except Exception as error:
            log.exception("model %s could not be loaded", model_id)
            self._fail_waiting(model_id, as_engine_error(error))
        finally:
            with self._lock:
                waiting, self._waiting, self._loading = self._waiting, [], False
            for request in waiting:
                self.enter(request)

    def _fail_waiting(self, model_id: str, error: Exception) -> None:
        with self._lock:
            failed = [request for request in self._waiting if request.level.model == model_id]
            self._waiting = [request for request in self._waiting if request not in failed]
        for request in failed:
            self._finish(request, error)
