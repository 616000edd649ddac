"""The clean latent that a prediction stands for, at every sampler: x̂₀ = c·x + d·prediction.

With x = α·x₀ + σ·ε the weights follow from what the model predicts (Ho et al. 2020, eq. 15 for the noise; Salimans &
Ho 2022, app. D for v; Lipman et al. 2023 for the velocity of a flow). Clipping and thresholding, which some samplers
add, are left out.
"""

from __future__ import annotations

from typing import Any


def clean_weights(scheduler: Any, level: float) -> tuple[float, float]:
    """(c, d) at a noise level: a sigma, for schedulers that count in those, else a timestep of the training's."""
    alpha, sigma, scale = _signal_and_noise(scheduler, level)
    predicted = scheduler.config.get("prediction_type", "flow_prediction")
    if predicted == "epsilon":
        return scale / alpha, -sigma / alpha
    if predicted == "v_prediction":
        return scale * alpha, -sigma
    if predicted == "flow_prediction":
        return 1.0, -sigma
    return 0.0, 1.0  # the clean latent itself


def noised_weights(scheduler: Any, level: float) -> tuple[float, float]:
    """(a, b) of the sampler's latent a·x₀ + b·ε at a noise level, given as to `clean_weights`."""
    alpha, sigma, scale = _signal_and_noise(scheduler, level)
    return alpha / scale, sigma / scale


def _signal_and_noise(scheduler: Any, level: float) -> tuple[float, float, float]:
    """α and σ at a noise level, and what turns the sampler's latent into α·x₀ + σ·ε."""
    if not hasattr(scheduler, "sigmas"):
        share = float(scheduler.alphas_cumprod[int(level)])
        return share**0.5, (1 - share) ** 0.5, 1.0
    if is_flow(scheduler):
        return 1 - level, level, 1.0
    alpha = (1 + level * level) ** -0.5
    keeps_variance = hasattr(scheduler, "convert_model_output")  # multistep samplers; the others keep the signal
    return alpha, level * alpha, 1.0 if keeps_variance else alpha


def is_flow(scheduler: Any) -> bool:
    """Whether its latents are (1 − σ)·x₀ + σ·ε."""
    return "prediction_type" not in scheduler.config or bool(scheduler.config.get("use_flow_sigmas"))
