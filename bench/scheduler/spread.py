"""The same with synthetic prompts, to tell the scheduler's share from the predictor's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.scheduler.bounds import bounds
from bench.scheduler.parallel import over_seeds
from bench.scheduler.part import Part
from bench.scheduler.pooling import pooled
from bench.scheduler.setup import Setup
from bench.scheduler.steady import show_steady, steady
from bench.scheduler.tables import AGAIN, show_policies


def spread(setup: Setup) -> dict[str, Any]:
    """Steady load and the Twitter peak with synthetic prompts and a fairly good predictor."""
    synthetic = replace(setup, measured=False)
    scaled = setup.burst.scaled_to(0.95 * setup.capacity)
    runs = over_seeds(synthetic, ("clipper-ht", "pac", "argus", "oracle"), scaled, setup.seeds)
    return {
        "seeds": list(setup.seeds),
        "prompts": synthetic.prompts,
        "steady": steady(synthetic),
        "twitter": {
            "policies": {name: pooled(reports) for name, reports in runs.items()},
            "bound": bounds(synthetic, scaled, setup.seeds, {name: runs[name] for name in ("pac", "argus")}),
        },
    }


def show_spread(data: dict[str, Any]) -> str:
    if "loads" not in data["steady"]:
        return AGAIN
    said = f"Prompts here: {data['prompts']}."
    return f"{said}\n\n{show_steady(data['steady'])}\n\nTwitter's burst at 95 %:\n\n{show_policies(data['twitter'])}"


PART = Part(
    spread,
    show_spread,
    "With prompts spread around the profile's means",
    "The same with the other model of prompts, to tell the scheduler's share from the predictor's.",
)
