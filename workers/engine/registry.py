"""The open requests of an engine. Each is answered exactly once, by `finish`."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from PIL import Image

from workers.engine.request import GenerationRequest
from workers.engine.running_request import RunningRequest, result_of


class Registry:
    """Open requests by id, thread-safe.

    Args:
        finished: told of each request that ended, and with an image or an error.
    """

    def __init__(self, finished: Callable[[RunningRequest, Image.Image | Exception], None]) -> None:
        self.counts: Counter[str] = Counter()
        self._finished = finished
        self._open: dict[str, RunningRequest] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def open(self, request: GenerationRequest) -> tuple[RunningRequest, bool]:
        """The request, and whether it is new here."""
        with self._lock:
            if request.request_id in self._open:
                return self._open[request.request_id], False
            opened = self._open[request.request_id] = RunningRequest(request, request.level)
            self.counts["submitted"] += 1
        opened.future.set_running_or_notify_cancel()
        return opened, True

    def find(self, request_id: str) -> RunningRequest | None:
        with self._lock:
            return self._open.get(request_id)

    def all(self) -> list[RunningRequest]:
        with self._lock:
            return list(self._open.values())

    def finish(self, request: RunningRequest, end: Image.Image | Exception) -> None:
        """End a request with its image or with the reason why there is none; a second call changes nothing."""
        with self._lock:
            if self._open.get(request.id) is not request:
                return
            del self._open[request.id]
            self.counts["failed" if isinstance(end, Exception) else "done"] += 1
        self._finished(request, end)
        if isinstance(end, Exception):
            request.future.set_exception(end)
        else:
            request.future.set_result(result_of(request, end))
