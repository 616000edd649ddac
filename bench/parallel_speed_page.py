"""The page of `bench.parallel_speed`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEANINGS = (
    "**Modelled, not measured.** Measured is a step on one H200, by `argus profile`; counted is what comes to a rank;",
    "stated are the links, and what every message takes besides. *A step*: steps after the warm-up, without meeting.",
    "*An image*: the steps of one, with meeting, and a warm-up whose messages are awaited. Meeting is assumed, as no",
    "two GPUs have met here. Two ranks of DistriFusion divide guidance, which keeps the image; more cut the latent",
    "into patches and leave activations stale, which changes it. Ulysses keeps it. Messages are collective ones.",
)
LIMITS = (
    "What a step takes is divided on the line through the smallest and the fullest batch of the profile. SDXL at 512",
    "pixels, a quarter of the tokens, took what that line says (16.1 ms in [cuda.md](cuda.md), by the line 16.2 ms).",
    "Of Flux no part was measured: below some 30 ms a step may wait for the host's launches, which the line does not",
    "know. AsyncDiff and PipeFusion are left out: of the first nobody measured here what each part of a denoiser",
    "takes, of PixArt nobody measured a step on a GPU.",
)
PAPERS = (
    "For comparison, theirs, measured: xDiT draws FLUX.1-dev in 28 steps in 6.71 s on one H100 and 1.63 s on four",
    "(Ulysses, NVLink), 4.1×. DistriFusion reports 1.8×, 3.4× and 6.1× on 2, 4 and 8 A100 for SDXL at 3840², 14 times",
    "the pixels of ours, where what is fixed counts less.",
)


def page(found: Mapping[str, Any]) -> str:
    """The page for people."""
    run = found["run"]
    lines = [
        "# Several GPUs for one image: how fast, modelled",
        "",
        "After this page you can say what several GPUs would make of an image's latency, and what that rests on.",
        "",
        f"`{run['command']}`, {run['measured']}, torch {run['torch']}; images of {run['steps']} steps at 1024 pixels; "
        f"meeting {run['meet_s']:g} s; a message {1e6 * found['links'][0]['latency_s']:g} µs.",
        "",
        *MEANINGS,
        "",
        "| model, mode | link | GPUs | MB to a rank | messages, awaited + hidden | a step, ms | a step | an image |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *[row for curve in found["curves"] for row in _rows(curve)],
        "",
        *LIMITS,
        "",
        *PAPERS,
        "",
        *[
            f"A step of {family}: {1000 * line['fixed_s']:.1f} ms whatever is computed, {1000 * line['row_s']:.1f} ms "
            "for a row."
            for family, line in found["compute"].items()
        ],
        "",
    ]
    return "\n".join(lines)


def _rows(curve: Mapping[str, Any]) -> list[str]:
    rows = []
    for mode in curve["modes"]:
        ranks = mode["ranks"]
        awaited, hidden = curve["messages"][ranks]
        first = f"| {curve['family'].removeprefix('random-')}, {mode['mode']} | {curve['link']} | {ranks}"
        sent = f"{mode['bytes'] / 1e6:.1f} | {awaited} + {hidden} | {1000 * mode['step_s']:.1f}"
        rows.append(f"{first} | {sent} | {curve['speed_up_of_a_step'][ranks]:.2f}× | {curve['speed_up'][ranks]:.2f}× |")
    return rows
