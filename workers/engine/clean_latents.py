"""The clean latents that running rows are heading for, shown to those who asked: `on_x0` of a request.

Each step's prediction says which clean latent x̂₀ the row is heading for. A hook sees it before the step is taken, and
may answer another one: then the row takes its step towards that (data consistency in x̂₀, as in Kawar et al. 2022,
DDRM, and Wang et al. 2023, DDNM). Rows of which nobody asks cost a comparison.
"""

from __future__ import annotations

import torch
from torch import Tensor

from workers.engine.faults import as_engine_error, is_device_failure
from workers.engine.running_batch import RunningBatch
from workers.engine.running_request import RunningRequest


def show(batch: RunningBatch, predictions: Tensor) -> None:
    """Call the hooks of a batch's rows; `predictions` [n, …] change where a hook answers another clean latent.

    A hook that raises fails its own request, nobody else's.
    """
    for index, request in enumerate(batch.requests):
        if request.on_x0 is not None and request.error is None:
            try:
                _show(request, batch.latents[index], predictions[index])
            except Exception as error:
                if is_device_failure(error):
                    raise
                request.error = as_engine_error(error)


@torch.inference_mode()
def _show(request: RunningRequest, latent: Tensor, prediction: Tensor) -> None:
    sampler, hook = request.row.sampler, request.on_x0
    weights = sampler.clean_weights()
    if weights is None or hook is None:
        return
    of_latent, of_prediction = weights
    wanted = hook(sampler.steps_done + 1, of_latent * latent + of_prediction * prediction)
    if wanted is not None:
        prediction.copy_((wanted - of_latent * latent) / of_prediction)
