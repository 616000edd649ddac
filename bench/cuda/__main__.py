"""The engine on a GPU, in four minutes: what holds, what it takes, and profile data of hub architectures.

    python -m bench.cuda [--device cuda:0] [--seconds 240] [--write]
    python -m bench.cuda --device cpu:0 --toy --seconds 600        the same at toy widths, without a GPU

Weights are random at full width (the embedded family has its own), so there is speed and no quality. Results go to a
folder (`--out`), with `--write` also to docs/results/cuda.md, cuda.json and the profiles to profiles/.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
import torch

from bench.cuda import agreement, service, steps, ways
from bench.cuda.boxed import Findings
from bench.cuda.page import page
from bench.cuda.setup import Setup
from core import devices
from core.families import Quantization
from core.settings import ROOT
from workers.measure.hardware import hardware
from workers.measure.model_cost import measure_model
from workers.measure.profile import profile_of

RESULTS = ROOT / "docs" / "results"
EIGHT_BITS: list[tuple[str, Quantization]] = [("flux", "fp8"), ("sdxl", "fp8"), ("flux", "int8"), ("sdxl", "w8a8")]
PROFILED = {"sd15": (1, 2, 4, 8, 16), "sdxl": (1, 2, 4, 8), "sd3": (1, 2, 4, 8), "flux": (1, 2, 4)}


def parts(found: Findings, setup: Setup, out: Path) -> dict[str, tuple[float, Callable[[], object]]]:
    """Every part with its limit in seconds, in the order of importance."""
    architectures = {
        f"steps-{name}": (30.0, lambda name=name: steps.architecture(found, setup, name)) for name in steps.CASES
    }
    fastest = {f"ways-{name}": (100.0, lambda name=name: ways.exact(found, setup, name)) for name in ("flux", "sdxl")}
    eight = {
        f"eight-{name}-{bits}": (50.0, partial(ways.quantized, found, setup, name, bits))
        for name, bits in EIGHT_BITS
        if setup.on_cuda or bits != "fp8"
    }
    profiles = {f"profile-{name}": (25.0, lambda name=name: _profile(found, setup, name, out)) for name in PROFILED}
    return {
        "dtypes": (25.0, lambda: agreement.dtypes(found, setup)),
        "fused": (15.0, lambda: agreement.fused(found, setup)),
        "steps-embedded": (15.0, lambda: steps.embedded(found, setup)),
        **architectures,
        **fastest,
        "decoders": (20.0, lambda: ways.decoders(found, setup)),
        **eight,
        "goodput": (45.0, lambda: service.goodput(found, setup)),
        "memory": (20.0, lambda: service.memory(found, setup)),
        **profiles,
    }


def _profile(found: Findings, setup: Setup, name: str, out: Path) -> None:
    """Profile data of an architecture, as the planner reads it, marked as of random weights."""
    family = setup.family(name, 512 if name == "sd15" else 1024)
    sizes = (1,) if setup.toy else PROFILED[name]
    cost = measure_model(family, "random", setup.device, setup.half, sizes, 1 if setup.toy else 3)
    profile = profile_of(family, {"random": cost}, setup.device, setup.half) | {"random_weights": True}
    file = out / "profiles" / f"{family.id}__{profile['device']}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(profile, indent=1) + "\n", encoding="utf-8")
    exact = profile["levels"][0]
    found.figure(
        family=family.id,
        requests_per_minute=exact["requests_per_minute"],
        latency_s=exact["latency_s"],
        step_ms=" / ".join(f"{1000 * seconds:.0f}" for seconds in cost.step_s.values()),
        memory_mb=round(cost.memory_mb),
        activation_mb_per_row=round(cost.activation_mb_per_row),
        decode_ms=1000 * cost.decode_s,
        decode_mb=round(cost.decode_mb),
    )


@click.command()
@click.option("--device", default="cuda:0", show_default=True, help="Device to measure on.")
@click.option("--seconds", default=240.0, show_default=True, help="For everything together.")
@click.option("--part", "wanted", multiple=True, help="Only these parts.")
@click.option("--toy", is_flag=True, help="A few channels instead of the published widths: does everything run?")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Folder of the results. [a temporary one]")
@click.option("--write", is_flag=True, help="Also into docs/results and profiles.")
def main(device: str, seconds: float, wanted: tuple[str, ...], toy: bool, out: Path | None, write: bool) -> None:
    """Measure the engine on a GPU."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    for noisy in ("httpx", "diffusers", "transformers"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    out = out or Path(tempfile.mkdtemp(prefix="argus-cuda-"))
    out.mkdir(parents=True, exist_ok=True)
    found = Findings(out / "cuda.json", seconds)
    setup = Setup(devices.torch_device(device), toy)
    torch.set_num_threads(8 if setup.on_cuda else 1)
    measured = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    found.about = {"measured": measured, "toy": toy, "hardware": hardware(setup.device, setup.half)}
    for name, (limit_s, work) in parts(found, setup, out).items():
        if not wanted or name in wanted:
            found.run(name, limit_s * (10 if toy else 1), work)
            torch._dynamo.reset()  # compiled blocks of one part are no other's
            setup.tidy()
    (out / "cuda.md").write_text(page(found.as_dict()), encoding="utf-8")
    if write:
        keep(out)
    click.echo(page(found.as_dict()))


def keep(out: Path) -> None:
    """Copy the results into the repository."""
    for name in ("cuda.md", "cuda.json"):
        shutil.copy(out / name, RESULTS / name)
    for file in (out / "profiles").glob("*.json"):
        family, _, device = file.stem.partition("__")
        target = ROOT / "profiles" / family / f"{device}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)


if __name__ == "__main__":
    main()
