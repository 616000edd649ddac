"""The page and the plot of `bench.parallel`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: What the papers report, and where.
PAPERS = (
    ("DistriFusion", "SDXL, DDIM-50, 3840²: 1.8× / 3.4× / 6.1× on 2 / 4 / 8 A100"),
    ("AsyncDiff", "SD-2.1 on 4 devices: 2.7×; 4.0× at −0.38 CLIP"),
    (
        "PipeFusion",
        "a layer's hidden states to send where DistriFusion has the keys and values of all",
    ),
    ("ParaTAA", "DDIM-100 in 7 iterations, 4 to 14× fewer sequential steps"),
)

MEANINGS = (
    "*Ranks* are threads of one process here. What a rank has of the others depends on the step alone, so that",
    "processes and GPUs draw the same images (tests/workers/parallel/test_modes.py compares gloo processes bit for",
    "bit); speed is **not** measured here. *Turns* are steps that follow each other, one forward (or a part of one)",
    "each. *CLIP* is the mean CLIPScore against serial steps of the same model from the same noise, with the 95 %",
    "interval of the paired difference; *PSNR* between the two images, median and least. *Bytes* came to one rank in",
    "a step after the warm-up, counted, for one guided image of 256² in float32. *Formula* is what the papers reckon",
    "with (PipeFusion, table 1), which leaves out halos, moments and the gathered prediction for DistriFusion, and",
    "has one layer's hidden states for PipeFusion. The first step has none before it and is always synchronous: a",
    "warm-up of 1 is the least.",
)


def page(found: dict[str, Any]) -> str:
    """The page for people."""
    run, machine = found["run"], found["hardware"]
    lines = [
        "# Several devices for one image",
        "",
        "After this page you can say what each parallel mode keeps of the serial image, and what its ranks send.",
        "",
        f"`{run['command']}`, {run['measured']}, family {run['family']} {run['family_version']}, on "
        f"{machine['name']}, torch {machine['torch']}, diffusers {machine['diffusers']}.",
        "",
        "| mode | model | prompts | steps | warm-up | turns | CLIP, relative | PSNR, dB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *[_row(one) for one in found["ways"]],
        "",
        *MEANINGS,
        "",
        "## Bytes to a rank in a step, counted",
        "",
        "| mode | counted, MB | the paper's formula, MB |",
        "| --- | --- | --- |",
        *[f"| {one['way']} | {one['counted'] / 1e6:.3f} | {_megabytes(one['formula'])} |" for one in found["bytes"]],
        "",
        "## Error over the warm-up",
        "",
        "![Distance of latents from serial ones over the warm-up](img/parallel.png)",
        "",
        *_curves(found["curves"]),
        "",
        "Root mean square of the final latents' distance from serial ones, against their size, 12 steps.",
        "",
        "## What the papers report",
        "",
        "| paper | headline, theirs | ours |",
        "| --- | --- | --- |",
        *[f"| {name} | {theirs} | {_ours(name, found)} |" for name, theirs in PAPERS],
        "",
        "Their speed-ups are of GPUs and are not measured here; [modelled](parallel-speed.md) they are.",
        "",
    ]
    return "\n".join(lines)


def _row(one: Mapping[str, Any]) -> str:
    exact = one["psnr"] >= 99
    near = "–" if exact else f"{one['psnr']:.1f} ({one['psnr_least']:.1f})"
    clip = "1" if exact else f"{one['clip']:.4f} ± {one['clip_interval']:.4f}"
    warm_up = one["warm_up"] if not one["way"].startswith(("serial", "parataa")) else "–"
    first = f"| {one['way']} | {one['model']} | {one['prompts']} | {one['steps']} | {warm_up}"
    return f"{first} | {one['turns']:.1f} | {clip} | {near} |"


def _megabytes(value: float | None) -> str:
    return "–" if value is None else f"{value / 1e6:.3f}"


def _curves(curves: Mapping[str, Mapping[Any, float]]) -> list[str]:
    warm_ups = list(next(iter(curves.values())))
    return [
        "| warm-up | " + " | ".join(map(str, warm_ups)) + " |",
        "| --- |" + " --- |" * len(warm_ups),
        *[f"| {name} | " + " | ".join(f"{curve[n]:.2g}" for n in warm_ups) + " |" for name, curve in curves.items()],
    ]


def _ours(name: str, found: Mapping[str, Any]) -> str:
    """The figures of this run that stand beside a paper's."""
    ways = [one for one in found["ways"] if one["way"].startswith(name.lower())]
    if name == "ParaTAA":
        said = (f"{one['steps']} steps in {one['turns']:.1f} iterations at {one['psnr']:.0f} dB" for one in ways)
        return "; ".join([*said, "DDIM-100 on a mixture in 7 (tests/workers/parallel/test_parataa.py)"])
    return "; ".join(f"{one['way'].removeprefix(name.lower() + ', ')}: CLIP {one['clip'] - 1:+.2%}" for one in ways)


def plot(curves: Mapping[str, Mapping[int, float]], path: Path) -> None:
    """Error over warm-up, a line a mode."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, curve in curves.items():
        axes.semilogy(list(curve), list(curve.values()), marker="o", label=name)
    axes.set(xlabel="synchronous steps at the beginning, of 12", ylabel="distance of latents from serial ones")
    axes.legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
