"""The engine's page: what `bench.engine` measured, as Markdown."""

from __future__ import annotations

from typing import Any

from bench import lookups

LOAD, FLOOD = 0.9, 1.1  # arrivals, as shares of the offline throughput
SLO = 3.0  # times what one exact request takes alone


def report(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    machine = found["hardware"]
    lines = [
        "# The engine, measured",
        "",
        f"`{found['command']}` on {machine['name']}, {machine['threads']} torch thread(s), {machine['dtype']}, "
        f"torch {machine['torch']}, diffusers {machine['diffusers']}; {found['measured']}; "
        f"load average before: {found['load_before']:.1f}.",
        "",
    ]
    for part, write in (
        ("loop", _loop_text),
        ("cache", _cache_text),
        ("index", lookups.report),
        ("memory", _memory_text),
    ):
        if part in found:
            lines += [*write(found[part]), ""]
    return "\n".join(lines)


def _loop_text(loop: dict[str, Any]) -> list[str]:
    base, flood, (low, high, usual) = loop["ways"][0], loop["flood"], loop["steps"]
    rows = [
        f"| {way['way']} | {way['images_per_s']:.2f} | {way['of_offline']:.0%} | {way['in_time']:.0%} "
        f"| {way['wait_mean_s']:.3f} | {way['latency_p50_s']:.2f} | {way['latency_p95_s']:.2f} "
        f"| {way['latency_p50_s'] / base['latency_p50_s']:.1f}× |"
        for way in loop["ways"]
    ]
    steps = ", ".join(f"{n} rows {1000 * seconds:.0f} ms" for n, seconds in loop["step_s"].items())
    offline = " and ".join(f"{rate:.2f}" for rate in loop["offline_runs"])
    bound = loop["step_at_mean_s"] + loop["encode_s"]
    return [
        "## The loop under random arrivals",
        "",
        f"Requests at `exact`, half with {usual} steps, the others with {low} to {high}; at most {loop['max_batch']} "
        f"rows a step. Offline (everything there at once) the engine draws {loop['offline_images_per_s']:.2f} images/s "
        f"({offline}, before and after). Why goodput is read in two ways: docs/decisions/0026.",
        "",
        f"**Saturated.** The same {flood['requests']} requests, arriving at random at {flood['arrivals_per_s']:.2f}/s "
        f"({FLOOD:.0%}): {flood['images_per_s']:.2f} images/s, **{flood['of_offline']:.1%} of offline** (goal: 95 %). "
        f"The last came after {flood['last_arrival_s']:.1f} s, the last image after {flood['seconds']:.1f} s. "
        f"An image takes {flood['cpu_s']:.3f} s of CPU, offline {flood['cpu_offline_s']:.3f} s.",
        "",
        f"**At {LOAD:.0%}.** {loop['requests']} requests arrive at random at {loop['arrivals_per_s']:.2f}/s. In time: "
        f"within {SLO:g} × {loop['alone_s']:.2f} s, what one request of {usual} steps takes alone.",
        "",
        "| way | images/s | of offline | in time, of what arrived | mean wait before the first step, s | p50, s "
        "| p95, s | p50 against Argus |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        f"Mean rows of a step: {loop['rows_mean']:.1f}. A step takes: {steps}. One step at that many rows and one "
        f"encoding ({1000 * loop['encode_s']:.0f} ms) take {bound:.3f} s; the mean wait is {base['wait_mean_s']:.3f} s "
        f"({'within' if base['wait_mean_s'] < bound else '**above**'} the goal).",
    ]


def _cache_text(cache: dict[str, Any]) -> list[str]:
    by_k = ", ".join(f"K={k}: {share:.1%}" for k, share in cache["by_k"].items())
    return [
        "## Approximate caching on real prompts",
        "",
        f"{cache['prompts']} DiffusionDB prompts in order, each compared with those before it: {cache['hit_rate']:.1%} "
        f"find one near enough ({by_k} of 50 steps); steps saved: {cache['steps_saved']:.1%}.",
    ]


def _memory_text(memory: dict[str, Any]) -> list[str]:
    return [
        "## Memory",
        "",
        f"{memory['requests']:,} requests through `{memory['model']}`: {memory['first_mb']:.0f} MB after the first "
        f"tenth, {memory['last_mb']:.0f} MB after the last.",
    ]
