"""The stages beside the loop, a thread each: loading models, encoding prompts, decoding latents, storing latents."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image

from core.errors import DecodeFailed, EngineError
from workers.engine.faults import as_engine_error, is_out_of_memory, release_memory
from workers.engine.model_pool import ModelPool, PooledModel
from workers.engine.preparation import Preparation
from workers.engine.running_request import RunningRequest
from workers.threads import DaemonExecutor, InlineExecutor

log = logging.getLogger(__name__)
BACKLOG = 64  # finished requests whose latents wait for the cache; those of further ones are not stored

Partition = Callable[[list[RunningRequest]], tuple[list[RunningRequest], list[Any]]]


class Stages:
    """A request enters here and arrives encoded at the loop; once denoised it comes back to be decoded.

    Args:
        encoded: told of each request that has its row.
        finish: told of each request that ended, with its image or the error.
        threaded: False does everything at once, in the caller's thread.
    """

    def __init__(
        self,
        preparation: Preparation,
        pool: ModelPool,
        device: str,
        encoded: Callable[[RunningRequest], None],
        finish: Callable[[RunningRequest, Image.Image | Exception], None],
        threaded: bool = True,
    ) -> None:
        self._preparation, self._pool, self._device = preparation, pool, device
        self._encoded, self._finish = encoded, finish
        self._threaded = threaded
        self._without_model: list[RunningRequest] = []
        self._loading = False
        self._lock = threading.Lock()
        names = ("loader", "encoder", "decoder", "storer")
        self._loader, self._encoder, self._decoder, self._storer = (
            DaemonExecutor(name) if threaded else InlineExecutor() for name in names
        )

    def enter(self, request: RunningRequest) -> None:
        """Encode the prompt next where the model is held, else wait for the model."""
        if request.future.done():
            return
        adapter = self._pool.lease(request.level.model)
        if adapter is None:
            with self._lock:
                self._without_model.append(request)
            return
        request.leased = adapter
        self._preparation.prefetch(request)
        self._encoder.submit(self._encode, request)

    def decode(self, request: RunningRequest) -> None:
        """Turn a finished latent into an image."""
        self._decoder.submit(self._decode, request)

    def load(self, model_id: str) -> PooledModel:
        """Hold a model; waits for room and for the loading."""
        return self._loader.submit(self._load, model_id).result()

    def preload(self) -> None:
        """Begin to load a model that nobody asked for yet, unless one is being loaded."""
        with self._lock:
            model_id = None if self._loading or self._without_model else self._pool.spare()
            if model_id is not None:
                self._loading = True
                self._loader.submit(self._load_for_waiting, model_id)

    def load_wanted(self) -> None:
        """Start loading the model of the most urgent request without one, if there is room for it."""
        with self._lock:
            if not self._without_model or self._loading:
                return
            model_id = min(self._without_model, key=lambda request: request.urgency).level.model
        try:
            if not self._pool.make_room(model_id):
                return
        except EngineError as error:
            self._fail_waiting(model_id, error)
            return
        self._loading = True
        self._loader.submit(self._load_for_waiting, model_id)

    def remove_waiting(self, partition: Partition) -> list[Any]:
        """Let `partition` split those that wait for a model into those that stay and the rest; answers the rest."""
        with self._lock:
            self._without_model, removed = partition(self._without_model)
        return removed

    def close(self) -> None:
        """End the threads; work that has not begun is dropped."""
        for stage in (self._loader, self._encoder, self._decoder, self._storer):
            stage.shutdown(wait=True, cancel_futures=True)

    def _encode(self, request: RunningRequest) -> None:
        """The prompt first; the row when the cache has answered, for which this thread does not wait."""
        try:
            self._preparation.encode(request)
        except Exception as error:
            return self._finish(request, as_engine_error(error))
        if request.fetch is None or not self._threaded:
            self._place(request)
        else:
            request.fetch.add_done_callback(lambda _: self._encoder.submit(self._place, request))

    def _place(self, request: RunningRequest) -> None:
        try:
            self._preparation.place(request)
            if self._device.startswith("cuda"):  # the loop reads what this thread asked of the device
                torch.cuda.current_stream(self._device).synchronize()
            request.mark(encoded=time.time())
            self._encoded(request)
        except Exception as error:
            self._finish(request, as_engine_error(error))

    def _decode(self, request: RunningRequest) -> None:
        sampler_name = request.sampler_name
        try:
            image = self._image_of(request)
        except EngineError as error:
            return self._finish(request, error)
        except Exception as error:
            return self._finish(request, DecodeFailed(f"Decoding failed: {error!r}."))
        request.mark(decoded=time.time())
        self._finish(request, image)
        if request.latents_to_store and self._storer.backlog < BACKLOG:
            self._storer.submit(self._store, request, sampler_name)

    def _image_of(self, request: RunningRequest) -> Image.Image:
        try:
            return request.adapter.decode(request.row.latent, request.row.size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            request.add_reason("out of memory when decoding, tried again")
            release_memory()
            return request.adapter.decode(request.row.latent, request.row.size)

    def _store(self, request: RunningRequest, sampler_name: str) -> None:
        try:
            self._preparation.store(request, sampler_name)
        except Exception:  # a fault of the cache is no fault of the request
            log.exception("latents of %s could not be stored", request.id)

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
                waiting, self._without_model, self._loading = self._without_model, [], False
            for request in waiting:
                self.enter(request)

    def _fail_waiting(self, model_id: str, error: Exception) -> None:
        with self._lock:
            failed = [request for request in self._without_model if request.level.model == model_id]
            self._without_model = [request for request in self._without_model if request not in failed]
        for request in failed:
            self._finish(request, error)
