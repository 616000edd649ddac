"""One thread, and transformers of several blocks, which toys of one block are not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.workers.toys import SCHEDULERS
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter
from workers.pipelines.random_weights import random_family


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """As processes have: how many threads share a sum decides its last bit, and other tests leave several."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def toy(toys: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Adapters by architecture, with linear samplers; transformers have four blocks."""
    deep = {
        "pixart-alpha": {"num_layers": 4},
        "sd3": {"num_layers": 4},
        "flux": {"num_layers": 2, "num_single_layers": 2},
    }
    built: dict[str, Adapter] = {}

    def of(architecture: str) -> Adapter:
        if architecture not in built:
            scheduler = SCHEDULERS["ddim"]() if architecture in ("sd15", "pixart-alpha") else None
            if architecture in deep:
                folder = tmp_path_factory.mktemp(architecture)
                family = random_family(architecture, folder, toy=True, scheduler=scheduler, **deep[architecture])
                built[architecture] = load_adapter(family.models["random"], "cpu", torch.float64)
            else:
                built[architecture] = toys.adapter(architecture, "ddim" if scheduler else None)
        return built[architecture]

    return of
