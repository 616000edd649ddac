"""What a step takes when processes of one host share it, measured by `argus profile --parallel`.

One JSON file a type of device, `profiles/<family>/parallel/<device>.json`, beside the profiles of levels.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import BadProfile
from core.measured import measured_file
from core.refusals import first_place, first_refusal

MEASURED = ConfigDict(frozen=True, allow_inf_nan=False)


class ModeProfile(BaseModel):
    """One mode with so many ranks on one model, one guided image of the usual size. Times in seconds.

    `bytes` came to the first rank in a step after the warm-up.
    """

    model_config = MEASURED

    model: str
    mode: str
    ranks: int = Field(ge=1)
    step_s: float = Field(gt=0)
    serial_s: float = Field(gt=0)  # a step of one process alone
    meet_s: float = Field(default=0.0, ge=0)
    bytes: float = Field(default=0.0, ge=0)

    @property
    def is_lossless(self) -> bool:
        """Whether its image is the serial one to rounding: Ulysses, and DistriFusion's two halves of guidance."""
        return self.mode == "ulysses" or (self.mode == "distrifusion" and self.ranks == 2)

    def saves_s(self, steps: int) -> float:
        """Seconds that so many steps end earlier, with meeting."""
        return steps * (self.serial_s - self.step_s) - self.meet_s


class ParallelProfile(BaseModel):
    """Every mode that was measured, or modelled, on a type of device."""

    model_config = MEASURED

    device: str = ""
    modes: tuple[ModeProfile, ...]


def read_modes(family: str, device_type: str) -> tuple[ModeProfile, ...]:
    """What was measured; nothing where nothing was. Raises `BadProfile`."""
    path = measured_file(family, f"parallel/{device_type}.json")
    return read_parallel(path).modes if path.is_file() else ()


def read_parallel(path: Path) -> ParallelProfile:
    """The profile of modes in a file. Raises `BadProfile`."""
    try:
        return ParallelProfile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BadProfile(f"{path}: {first_place(error, 'modes')}: {first_refusal(error)}") from error
