"""Previews of a request on its way: predicted clean latents at given shares of its steps, decoded beside the loop."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from workers.engine.running_request import RunningRequest

Decode = Callable[[RunningRequest, int, Tensor], None]


class Previews:
    """The `on_x0` of a request with `previews`: hands a clean latent on at the step that reaches a share of all steps.

    What the request asked `on_x0` itself comes first. A share that lies behind when the row begins, or that it jumps
    over with a change of level, is not shown; nor is anything at the last step, after which the image follows at once.
    """

    def __init__(self, request: RunningRequest, decode: Decode) -> None:
        self._request, self._decode = request, decode
        self._asked = request.request.on_x0
        self._waiting = dict(enumerate(request.request.previews))

    def __call__(self, step: int, clean: Tensor) -> Tensor | None:
        wanted = None if self._asked is None else self._asked(step, clean)
        steps = self._request.row.sampler.steps
        due = [index for index, share in self._waiting.items() if step - 1 < share * steps <= step < steps]
        for index in due:
            del self._waiting[index]  # once, whatever the level changes to
            self._decode(self._request, index, clean if wanted is None else wanted)
        return wanted
