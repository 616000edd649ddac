"""Between a request's model and its prompt: the LoRAs that it names are put on the model."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from workers.engine.lora_store import LoraStore
from workers.engine.running_request import RunningRequest


class LoraStage:
    """Gives requests their model with LoRAs. Those that name none pass at once.

    Args:
        executor: runs the loading, for which no other request waits.
        ready: told of each request that has its model as it wants it.
        failed: told of each that cannot have it: why, and what to do again when memory is free.
    """

    def __init__(
        self,
        loras: LoraStore,
        executor: Executor,
        ready: Callable[[RunningRequest], None],
        failed: Callable[[RunningRequest, Exception, Executor, Callable[[RunningRequest], None]], None],
    ) -> None:
        self._loras, self._executor, self._ready, self._failed = loras, executor, ready, failed

    def enter(self, request: RunningRequest) -> None:
        """Go on, with LoRAs or without."""
        if request.request.loras:
            self._executor.submit(self._add, request)
        else:
            self._ready(request)

    def _add(self, request: RunningRequest) -> None:
        try:
            request.leased = self._loras.acting(request.adapter, request.level, request.request.loras)
        except Exception as error:
            return self._failed(request, error, self._executor, self._add)
        self._ready(request)
