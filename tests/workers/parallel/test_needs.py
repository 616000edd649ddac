"""What `core.parallel` says of modes, without torch, is what the modes themselves take."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import OutOfRange
from core.parallel import MODES
from tests.workers.parallel.companies import batch_of
from workers.parallel.asyncdiff import AsyncDiff
from workers.parallel.distrifusion import DistriFusion
from workers.parallel.parataa import ParaTAA
from workers.parallel.pipefusion import PipeFusion
from workers.parallel.ranks import Alone
from workers.parallel.ulysses import Ulysses

KINDS: dict[str, Any] = {
    "distrifusion": DistriFusion,
    "asyncdiff": AsyncDiff,
    "pipefusion": PipeFusion,
    "ulysses": Ulysses,
    "parataa": ParaTAA,
}


@pytest.mark.parametrize("architecture", ["sd15", "sdxl", "sd3", "flux", "pixart-alpha", "unet", "dit"])
def test_a_mode_takes_the_pipelines_that_are_said_to_be_its(toy, architecture: str):
    adapter = toy(architecture)
    for name, needs in MODES.items():
        able = not needs.pipelines or adapter.model.pipeline in needs.pipelines
        if able:
            KINDS[name](adapter, Alone()).turn(batch_of(adapter))
        else:
            with pytest.raises(OutOfRange):
                KINDS[name](adapter, Alone())
