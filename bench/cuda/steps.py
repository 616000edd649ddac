"""What a step takes: the bare network, the engine around it, and the engine with CUDA graphs."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bench.cuda.boxed import Findings
from bench.cuda.setup import Setup, batch_of, requests_of
from core.families import Family, load_family
from workers.engine.engine import Engine
from workers.pipelines.base import Adapter


@dataclass(frozen=True)
class Case:
    """An architecture at one size. The engine may add at most `goal` to the network's time; `rows` are measured."""

    architecture: str
    side: int
    rows: tuple[int, ...]
    goal: float = 1.03
    graphs: bool = False


CASES = {
    "sdxl": (Case("sdxl", 1024, (1, 4, 8), graphs=True), Case("sdxl", 512, (1, 8), 1.05, graphs=True)),
    "sd15": (Case("sd15", 512, (1, 8), 1.05, graphs=True),),
    "sd3": (Case("sd3", 1024, (1, 4), graphs=True),),
    "flux": (Case("flux", 1024, (1, 2)),),
}


def architecture(found: Findings, setup: Setup, name: str) -> None:
    """All cases of one architecture, on one set of weights."""
    first = CASES[name][0]
    adapter = setup.adapter(setup.family(name, first.side))
    for case in CASES[name]:
        family = setup.family(name, case.side)
        for rows in (1,) if setup.toy else case.rows:
            compare(found, setup, adapter, family, rows, case)
    setup.tidy()


def embedded(found: Findings, setup: Setup) -> None:
    """The family that ships: a step takes as long with one row as with eight, unless it is replayed."""
    family = load_family("embedded")
    model = family.models[family.level(family.reference).model]
    family = family.model_copy(update={"models": {model.id: model}, "levels": _levels_of(family, model.id)})
    adapter = setup.adapter(family, None if setup.on_cuda else torch.float32)
    for rows in (1, 8):
        compare(found, setup, adapter, family, rows, Case("embedded", family.defaults.width, (rows,), graphs=True))


def _levels_of(family: Family, model_id: str) -> dict[str, object]:
    return {level.id: level for level in family.levels_of(model_id)}


def compare(found: Findings, setup: Setup, adapter: Adapter, family: Family, rows: int, case: Case) -> None:
    """One row of the table, and whether the engine keeps to its goal."""
    adapter.fastest = None
    network_s = network_seconds(setup, adapter, family, rows)
    engine_s = engine_seconds(setup, adapter, family, rows)
    row = {"case": f"{case.architecture} {case.side}", "rows": rows, "network_ms": 1000 * network_s}
    row |= {"engine_ms": 1000 * engine_s, "engine_to_network": engine_s / network_s}
    if case.graphs:
        kept = setup.measure(adapter, family, rows)
        graphed_s = engine_seconds(setup, adapter, family, rows)
        row |= {"graphed_ms": 1000 * graphed_s, "graphed_to_network": graphed_s / network_s}
        row |= {"recorded": " ".join(map(str, kept)) or "none"}
        adapter.fastest = None
    found.figure(**row)
    best = min(float(row.get(name, 9.0)) for name in ("engine_to_network", "graphed_to_network"))  # type: ignore[arg-type]
    if setup.on_cuda:
        text = f"{row['case']}, {rows} rows: the engine's step is {best:.3f} × the network's (goal {case.goal})"
        found.expect(best <= case.goal, text)
    setup.tidy()


@torch.inference_mode()
def network_seconds(setup: Setup, adapter: Adapter, family: Family, rows: int) -> float:
    """Seconds of the denoiser alone, on the batch that the adapter makes of so many rows."""
    latents, times, conditioning = batch_of(adapter, family, rows).halves()
    latents, times = latents.clone(), times.clone()
    return setup.seconds(lambda: adapter.forward(latents, times, conditioning))


def engine_seconds(setup: Setup, adapter: Adapter, family: Family, rows: int, steps: int = 8) -> float:
    """Seconds between two steps of the engine with a full batch of so many rows."""
    engine = Engine(family, setup.device, adapter.dtype, rows, load=lambda model: adapter, threaded=False)
    engine.load(adapter.model.id)
    for request in requests_of(family, rows, "e", steps=steps + 3):
        engine.submit(request)
    engine.step()
    seconds = setup.seconds(engine.step, steps - 2)
    for running in [running for batch in engine.batches() for running in batch.requests]:
        engine.cancel(running.id)
    engine.step()
    return seconds
