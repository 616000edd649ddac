"""How an engine ends what it has when it can't go on: a fault in its loop, a device that has failed, a stop."""

from __future__ import annotations

from collections.abc import Callable

from core.errors import ArgusError, DeviceFailed, EngineError
from workers.engine.faults import as_engine_error, is_device_failure
from workers.engine.loop import StepLoop
from workers.engine.registry import Registry


class Failures:
    """Ends every open request with a reason.

    Args:
        on_device_failure: called once, when the requests have ended.
    """

    def __init__(self, registry: Registry, loop: StepLoop, on_device_failure: Callable[[Exception], object]) -> None:
        self._registry, self._loop, self._on_device_failure = registry, loop, on_device_failure
        self.device: ArgusError | None = None  # why the device can't be used any more, if so

    def in_loop(self, error: Exception) -> None:
        """A step raised: nobody may wait for ever."""
        if is_device_failure(error):
            self.of_device(error)
        else:
            self.end_all(EngineError(f"The engine failed: {error!r}. The request can be sent again."))

    def of_device(self, error: Exception) -> None:
        """The device is lost to this process: every request ends, to run elsewhere, and the engine's owner is told."""
        if self.device is not None:
            return
        self.device = as_engine_error(error)
        self.end_all(DeviceFailed(self.device.message))
        self._on_device_failure(self.device)

    def refusal(self) -> DeviceFailed:
        """The end of a request that comes when the device has failed."""
        refused = DeviceFailed(self.device.message if self.device else "")
        refused.ran = False
        return refused

    def end_all(self, error: ArgusError) -> None:
        """Every open request ends with this error."""
        self._loop.clear()
        for request in self._registry.all():
            self._registry.finish(request, error)
