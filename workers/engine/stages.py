"""The stages beside the loop, a thread each: models, their LoRAs, encoding prompts, decoding and storing latents."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor

import torch
from PIL import Image
from torch import Tensor

from core.errors import DecodeFailed, EngineError
from workers.engine.faults import as_engine_error, is_device_failure, is_out_of_memory, release_memory
from workers.engine.lora_stage import LoraStage
from workers.engine.model_pool import ModelPool
from workers.engine.model_queue import ModelQueue
from workers.engine.preparation import Preparation
from workers.engine.previews import Previews
from workers.engine.running_request import RunningRequest
from workers.engine.streams import Mark, StageStream
from workers.engine.waiting import Waiting
from workers.threads import DaemonExecutor, InlineExecutor

log = logging.getLogger(__name__)
BACKLOG = 64  # finished requests whose latents wait for the cache; those of further ones are not stored

RETRIES = 3  # of encoding or decoding one request, after running out of memory
TILED_ABOVE = 1536 * 1536  # pixels: decoding so many at once takes more than the steps

Stage = Callable[[RunningRequest], None]


class Stages:
    """A request enters here and arrives encoded at the loop; once denoised it comes back to be decoded.

    Args:
        waiting: told of each request that has its row, or whose final latent is not finite.
        wake: called when the loop has something to do.
        finish: told of each request that ended, with its image or the error.
        threaded: False does everything at once, in the caller's thread.
    """

    def __init__(
        self,
        preparation: Preparation,
        pool: ModelPool,
        device: str,
        waiting: Waiting,
        wake: Callable[[], None],
        finish: Callable[[RunningRequest, Image.Image | Exception], None],
        threaded: bool = True,
    ) -> None:
        self._preparation, self._threaded = preparation, threaded
        self._waiting, self._wake, self._finish = waiting, wake, finish
        self._postponed: list[tuple[Executor, Stage, RunningRequest]] = []  # until memory is free
        self._lock = threading.Lock()
        names = ("loader", "loras", "encoder", "decoder", "storer")
        self._loader, self._adder, self._encoder, self._decoder, self._storer = (
            DaemonExecutor(name) if threaded else InlineExecutor() for name in names
        )
        loras = LoraStage(preparation.loras, self._adder, self.encode, self._failed)
        self.models = ModelQueue(pool, self._loader, loras.enter, finish)
        self._encoding, self._decoding = StageStream(device), StageStream(device)

    def enter(self, request: RunningRequest) -> None:
        """The model first, then its LoRAs, then the prompt."""
        wanted = request.request
        request.on_x0 = Previews(request, self.preview) if wanted.previews and wanted.on_preview else wanted.on_x0
        self.models.enter(request)

    def encode(self, request: RunningRequest) -> None:
        """Turn a prompt into a row; look for a cached latent meanwhile."""
        self._preparation.prefetch(request)
        self._encoder.submit(self._encode, request)

    def decode(self, request: RunningRequest) -> None:
        """Turn a finished latent into an image."""
        self._decoder.submit(self._decode, request)

    def preview(self, request: RunningRequest, index: int, clean: Tensor) -> None:
        """Turn a clean latent on the way into an image, for who asked to see it."""
        self._decoder.submit(self._preview, request, index, clean, Mark(request.adapter.device))

    @property
    def postponed(self) -> int:
        """How many wait for memory."""
        return len(self._postponed)

    def retry(self) -> None:
        """Try again what ran out of memory: a row has left, or none runs."""
        with self._lock:
            postponed, self._postponed = self._postponed, []
        for executor, stage, request in postponed:
            executor.submit(stage, request)

    def close(self) -> None:
        """End the threads; work that has not begun is dropped."""
        for stage in (self._loader, self._adder, self._encoder, self._decoder, self._storer):
            stage.shutdown(wait=True, cancel_futures=True)

    def _encode(self, request: RunningRequest) -> None:
        """The prompt first; the row when the cache has answered, for which this thread does not wait."""
        try:
            with self._encoding.use():
                self._preparation.encode(request)
        except Exception as error:
            return self._failed(request, error, self._encoder, self._encode)
        if request.fetch is None or not self._threaded:
            self._place(request)
        else:
            request.fetch.add_done_callback(lambda _: self._encoder.submit(self._place, request))

    def _place(self, request: RunningRequest) -> None:
        try:
            with self._encoding.use():
                self._preparation.place(request)
        except Exception as error:
            return self._failed(request, error, self._encoder, self._place)
        request.mark(encoded=time.time())
        self._waiting.encoded(request)
        self._wake()

    def _decode(self, request: RunningRequest) -> None:
        sampler_name = request.sampler_name
        try:
            with self._decoding.use(after=request.denoised):
                image = self._image_of(request)
                if image is not None:
                    image = request.request.finished(image)
        except Exception as error:
            if not isinstance(error, EngineError) and not is_out_of_memory(error) and not is_device_failure(error):
                error = DecodeFailed(f"Decoding failed: {error!r}.")
            return self._failed(request, error, self._decoder, self._decode)
        if image is None:
            self._waiting.not_finite(request)
            return self._wake()
        request.mark(decoded=time.time())
        self._finish(request, image)
        if request.latents_to_store and self._storer.backlog < BACKLOG:
            self._storer.submit(self._store, request, sampler_name)

    def _preview(self, request: RunningRequest, index: int, clean: Tensor, ready: Mark) -> None:
        """Nothing depends on a preview: one that fails, or comes after the request's end, is left out."""
        if request.future.done() or request.request.on_preview is None:
            return
        try:
            with self._decoding.use(after=ready):
                image = request.adapter.decode(clean, request.row.size, tiled=_is_large(request.row.size))
            request.request.on_preview(index, image)
        except Exception:
            log.warning("preview %d of %s failed", index, request.id, exc_info=True)

    def _image_of(self, request: RunningRequest) -> Image.Image | None:
        """The image; None where the latent is NaN or infinite. Large ones, and those that memory does not suffice for,
        are decoded in tiles."""
        latent, size = request.row.latent, request.row.size
        if not bool(torch.isfinite(latent).all()):
            return None
        try:
            return request.adapter.decode(latent, size, tiled=_is_large(size))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        request.add_reason("out of memory when decoding, decoded in tiles")
        release_memory()
        return request.adapter.decode(latent, size, tiled=True)

    def _failed(self, request: RunningRequest, error: Exception, executor: Executor, stage: Stage) -> None:
        """Out of memory, a request is tried again when a row has left; anything else, and the last try, ends it."""
        if not is_out_of_memory(error) or request.retries >= RETRIES:
            return self._finish(request, as_engine_error(error))
        request.retries += 1
        release_memory()
        with self._lock:
            self._postponed.append((executor, stage, request))
        self._wake()

    def _store(self, request: RunningRequest, sampler_name: str) -> None:
        try:
            self._preparation.store(request, sampler_name)
        except Exception:  # a fault of the cache is no fault of the request
            log.exception("latents of %s could not be stored", request.id)


def _is_large(size: tuple[int, int]) -> bool:
    return size[0] * size[1] > TILED_ABOVE
