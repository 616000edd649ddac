"""What steps and decoding take on this device: from the profile, corrected by every one that is measured."""

from __future__ import annotations

from collections.abc import Mapping

from core.step_curve import StepCurve

WITH_LORAS = " with LoRAs"  # ends the id of such a curve: until it is measured it is the model's


class StepCosts:
    """Step curves by model, with LoRAs or without (or by `fc` level), and by model what decoding takes."""

    def __init__(self, curves: Mapping[str, StepCurve] | None = None) -> None:
        self.curves = dict(curves or {})
        self._decode: dict[str, StepCurve] = {}

    def step_s(self, curve_id: str, rows: int) -> float:
        """Seconds of a step with so many rows; 0 where unknown."""
        return self._curve(curve_id).step_s(rows)

    def decode_s(self, model_id: str) -> float:
        """Seconds from a request's last step to its image; 0 where unknown."""
        return self._decode.get(model_id, StepCurve()).step_s(1)

    def observe_step(self, curve_id: str, rows: int, seconds: float) -> None:
        self.curves[curve_id] = self._curve(curve_id).observe(rows, seconds)

    def observe_decode(self, model_id: str, seconds: float) -> None:
        self._decode[model_id] = self._decode.get(model_id, StepCurve()).observe(1, seconds)

    def stats(self) -> dict[str, dict[int, float]]:
        """Seconds by rows of every curve."""
        return {name: curve.points for name, curve in list(self.curves.items())}

    def _curve(self, curve_id: str) -> StepCurve:
        return self.curves.get(curve_id) or self.curves.get(curve_id.removesuffix(WITH_LORAS)) or StepCurve()
