"""Models and LoRAs that were distilled to few steps: the sampler, steps and guidance that each kind was made for.

With another sampler or with guidance they draw grey or burnt pictures, and nothing says why: so a family file that
combines them otherwise is refused when it is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Distilled = Literal["lcm", "tcd", "turbo", "lightning", "hyper"]


@dataclass(frozen=True)
class Recipe:
    """What a kind was made for.

    `sampler` is a class of diffusers, `config` what of its configuration is not the checkpoint's, `steps` those it
    draws in, `guidance` the most it bears: at most 1 is none at all. Some checkpoints take guidance as an input
    (`guidance_input`) and bear any; not so a LoRA.
    """

    sampler: str
    steps: tuple[int, ...]
    guidance: float = 1.0
    guidance_input: bool = False
    config: dict[str, str | float | bool] = field(default_factory=dict)

    def refuses(self, steps: int | None, guidance: float, by_lora: bool) -> str:
        """Which field of a level is not what it was made for, and why; empty where all are.

        `steps` are the level's fixed ones, None where it follows the request.
        """
        if steps not in self.steps:
            known = ", ".join(map(str, self.steps))
            return f"steps: its model was distilled to {known}, with fixed_steps = true"
        if guidance > self.guidance and (by_lora or not self.guidance_input):
            return f"guidance is {guidance:g}; its model was distilled to bear at most {self.guidance:g}"
        return ""


#: As their authors publish them; of `hyper` what stands beside the sampler and its spacing is diffusers' usual way.
RECIPES: dict[str, Recipe] = {
    # Luo et al. 2023, arXiv:2311.05556: as a LoRA guidance of 1 to 2
    "lcm": Recipe("LCMScheduler", (1, 2, 3, 4, 5, 6, 7, 8), guidance=2.0, guidance_input=True),
    # Zheng et al. 2024, arXiv:2402.19159
    "tcd": Recipe("TCDScheduler", (1, 2, 3, 4, 5, 6, 7, 8)),
    # Sauer et al. 2023, arXiv:2311.17042
    "turbo": Recipe("EulerAncestralDiscreteScheduler", (1, 2, 3, 4), config={"timestep_spacing": "trailing"}),
    # Lin, Wang & Yang 2024, arXiv:2402.13929: the weights for a single step predict another thing
    "lightning": Recipe("EulerDiscreteScheduler", (2, 4, 8), config={"timestep_spacing": "trailing"}),
    # Ren et al. 2024, arXiv:2404.13686: the weights for a single step begin at another time
    "hyper": Recipe(
        "DDIMScheduler",
        (2, 4, 8),
        config={"timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": True},
    ),
}
