"""Modes in which one image is drawn by several devices, or several of its steps at once, by the names in requests.

`workers.parallel` has them, a file each. Nothing here imports torch: who accepts requests says what can be drawn how.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from core.families import Family

Parallel = Literal["auto", "off", "distrifusion", "asyncdiff", "pipefusion", "ulysses", "parataa"]
AUTO = "auto"
UNETS = ("embedded-unet", "embedded-half", "stable-diffusion", "stable-diffusion-xl")
TRANSFORMERS = ("embedded-dit", "pixart-alpha", "pixart-sigma")


@dataclass(frozen=True)
class ModeNeeds:
    """What a mode needs.

    Args:
        pipelines: of the models whose denoisers it runs; none: of any.
        gang: whether it takes several devices, which run copies of the denoiser that LoRAs do not reach.
        warm_up: steps at the beginning in which nothing is stale, as its paper has them.
    """

    pipelines: tuple[str, ...] = ()
    gang: bool = True
    warm_up: int = 0

    def runs(self, pipeline: str) -> bool:
        """Whether it runs the models of a pipeline."""
        return not self.pipelines or pipeline in self.pipelines


MODES = {
    "distrifusion": ModeNeeds(UNETS, warm_up=4),
    "asyncdiff": ModeNeeds(warm_up=3),
    "pipefusion": ModeNeeds(TRANSFORMERS, warm_up=1),
    "ulysses": ModeNeeds(("flux",)),
    "parataa": ModeNeeds(gang=False),
}


def modes_of(pipeline: str) -> tuple[str, ...]:
    """The modes that run the models of a pipeline."""
    return tuple(name for name, mode in MODES.items() if mode.runs(pipeline))


def refusal(name: str, family: Family, level_asked: str, loras: str | None) -> str | None:
    """Why requests of a family cannot be drawn in this mode; None where they can, and where no mode is named.

    Args:
        level_asked: a level's id; `auto` is judged by the reference level.
        loras: as a row has them.
    """
    if (mode := MODES.get(name)) is None:
        return None
    level = family.level(family.reference if level_asked == AUTO else level_asked)
    pipeline = family.models[level.model].pipeline
    if not mode.runs(pipeline):
        able = ", ".join(modes_of(pipeline))
        return f"{name} cannot run model {level.model!r} ({pipeline}). Use auto, off or one of: {able}."
    if level.reuses_features or "sub" in level.strategies:
        return f"{name} computes every step in full, which level {level.id!r} does not. Use another level, or auto."
    if loras and mode.gang:
        return f"{name} runs copies of the model that LoRAs do not reach: leave out `loras`, or use parataa."
    return None
