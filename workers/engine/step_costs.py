"""What steps and decoding take on this device: from the profile, corrected by every one that is measured."""

from __future__ import annotations

from collections.abc import Mapping

from core.step_curve import StepCurve


class StepCosts:
    """Step curves by model (or by `fc` level), and seconds from the last step to the image by model."""

    def __init__(self, curves: Mapping[str, StepCurve] | None = None) -> None:
        self.curves = dict(curves or {})
        self._decode: dict[str, StepCurve] = {}

    def step_s(self, curve_id: str, rows: int) -> float:
        """Seconds of a step with so many rows; 0 where unknown."""
        return self.curves.get(curve_id, StepCurve()).step_s(rows)

    def decode_s(self, model_id: str) -> float:
        """Seconds from a request's last step to its image; 0 where unknown."""
        return self._decode.get(model_id, StepCurve()).step_s(1)

    def observe_step(self, curve_id: str, rows: int, seconds: float) -> None:
        self.curves[curve_id] = self.curves.get(curve_id, StepCurve()).observe(rows, seconds)

    def observe_decode(self, model_id: str, seconds: float) -> None:
        self._decode[model_id] = self._decode.get(model_id, StepCurve()).observe(1, seconds)

    def stats(self) -> dict[str, dict[int, float]]:
        """Seconds by rows of every curve."""
        return {name: curve.points for name, curve in list(self.curves.items())}
