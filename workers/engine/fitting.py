"""Whether a device can hold any model of its family, found out before anything is loaded."""

from __future__ import annotations

import torch

from core.errors import NoModelFits
from core.families import FAMILIES, Family, Model, load_family
from workers.pipelines import expected_mb

GB = 1000.0  # MB


def sizes_mb(family: Family, dtype: torch.dtype) -> dict[str, float]:
    """What each model that a family offers will take."""
    return {model.id: expected_mb(model, dtype) for model in family.offered.values()}


def check_fits(family: Family, dtype: torch.dtype, budget_mb: float) -> None:
    """Pass where one model fits, or where that can't be known.

    Raises:
        NoModelFits: none does; the message says what the smallest takes and what would fit.
    """
    sizes = sizes_mb(family, dtype)
    smallest = min(sizes, key=sizes.__getitem__)
    if not budget_mb or sizes[smallest] <= budget_mb:
        return
    raise NoModelFits(
        f"No model of family {family.id!r} fits into {budget_mb / GB:.1f} GB: the smallest, {smallest}, takes "
        f"{sizes[smallest] / GB:.1f} GB. {_what_would_fit(family.models[smallest], dtype, budget_mb)}",
        field="ARGUS_FAMILY",
    )


def _what_would_fit(smallest: Model, dtype: torch.dtype, budget_mb: float) -> str:
    ways = []
    eight = expected_mb(smallest.model_copy(update={"quantization": "int8"}), dtype)
    if smallest.quantization is None and eight <= budget_mb:
        ways.append(f'{smallest.id} with quantization = "int8" ({eight / GB:.1f} GB)')
    for file in sorted(FAMILIES.glob("*.toml")):
        other = load_family(file.stem)
        sizes = sizes_mb(other, dtype)
        fitting = [f"{name} {mb / GB:.1f} GB" for name, mb in sizes.items() if mb <= budget_mb]
        if fitting:
            ways.append(f"family {other.id} ({', '.join(fitting)})")
    return f"What would fit: {'; '.join(ways) or 'nothing that ships with Argus'}."
