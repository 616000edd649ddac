"""The same with synthetic prompts, to tell the scheduler's share from the predictor's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bench.scheduler.part import Part
from bench.scheduler.pooling import pooled
from bench.scheduler.setup import Setup
from bench.scheduler.steady import show_steady, steady
from bench.scheduler.tables import show_policies


def spread(setup: Setup) -> dict[str, Any]:
    """Steady load and the Twitter peak with synthetic prompts and a fairly good predictor."""
    synthetic = replace(setup, measured=False)
    scaled = setup.trace("twitter-burst-hour").scaled_to(0.95 * setup.capacity)
    works = [synthetic.work(scaled, seed) for seed in (1, 2, 3)]
    least = [setup.least(work) for work in works]
    names = ("clipper-ht", "pac", "argus", "oracle")
    return {
        "prompts": synthetic.prompts,
        "steady": steady(synthetic, (setup.seed,)),
        "twitter": {
            "policies": {name: pooled([setup.run(name, work) for work in works]) for name in names},
            "bound": {key: float(np.mean([b[key] for b in least])) for key in least[0]},
        },
    }


def show_spread(data: dict[str, Any]) -> str:
    said = f"Prompts here: {data['prompts']}."
    return f"{said}\n\n{show_steady(data['steady'])}\n\nTwitter's hour at 95 %:\n\n{show_policies(data['twitter'])}"


PART = Part(
    spread,
    show_spread,
    "With prompts spread around the profile's means",
    "The same with the other model of prompts, to tell the scheduler's share from the predictor's.",
)
